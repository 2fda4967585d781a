import copy
import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn.functional import normalize

from augment import draws
from methods import moco_v2
from methods.addons import msr
from methods.contract import Pair, Plan
from methods.objective import Objective
from tests.methods import small
from tests.methods.random_cases import SEEDS, drawn


def numbers(name: str, *shape: int, seed: int = 1) -> torch.Tensor:
    return 3 * draws.normal(seed, name, shape).double()


def a_case(seed: int, names: str) -> tuple[list[torch.Tensor], torch.Tensor, float]:
    """Projections, one of each name, a queue and a temperature."""
    ranges = {"batch": (1, 24), "size": (1, 64), "dim": (2, 64), "temperature": (0.02, 2.0)}
    batch, size, dim, temperature = drawn(seed, **ranges).values()
    projections = [numbers(name, batch, dim, seed=seed) for name in names]
    return projections, normalize(numbers("queue", size, dim, seed=seed)), temperature


def cosine(u: list[float], v: list[float]) -> float:
    return sum(a * b for a, b in zip(u, v, strict=True)) / math.hypot(*u) / math.hypot(*v)


def paper(query: torch.Tensor, key: torch.Tensor, others: list[list[list[float]]], temperature: float) -> float:
    """Equation 1 of arXiv 1911.05722, query by query; `others` are the negatives of each."""
    total = 0.0
    for q, k, negatives in zip(query.tolist(), key.tolist(), others, strict=True):
        scores = [math.exp(cosine(q, row) / temperature) for row in (k, *negatives)]
        total -= math.log(scores[0] / sum(scores))
    return total / len(query)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_is_the_papers(seed):
    (q, k), queue, temperature = a_case(seed, "qk")
    ours = moco_v2.info_nce(q, k, queue, temperature=temperature)
    assert float(ours) == pytest.approx(paper(q, k, [queue.tolist()] * len(q), temperature), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_is_lightlys_with_its_gradient(seed):
    (q, k), queue, temperature = a_case(seed, "qk")
    q.requires_grad_()
    theirs = NTXentLoss(temperature=temperature, memory_bank_size=tuple(queue.shape))
    theirs.memory_bank.bank = queue.clone()
    losses = [moco_v2.info_nce(q, k, queue, temperature=temperature), theirs(q, k)]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(*(torch.autograd.grad(loss, q)[0] for loss in losses), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("seed", SEEDS)
def test_matched_negatives_are_one_more_logit_for_their_own_query(seed):
    (q, k, first, second), queue, temperature = a_case(seed, "qkmn")
    others = [[*queue.tolist(), one, two] for one, two in zip(first.tolist(), second.tolist(), strict=True)]
    ours = moco_v2.info_nce(q, k, queue, temperature=temperature, matched=[first, second])
    assert float(ours) == pytest.approx(paper(q, k, others, temperature), rel=1e-12)


def test_plan_is_one_direction_or_both():
    one, both = small.plan(small.moco_method()), small.plan(small.moco_method(symmetric=True))
    assert [(pair.query, pair.key, pair.key_from) for pair in one.pairs] == [("first", "second", "target")]
    assert [(pair.query, pair.key) for pair in both.pairs] == [("first", "second"), ("second", "first")]


def a_run(*, over_msr: bool = False, **fields) -> tuple[Objective, dict]:
    """In the middle of a training: twin and queue are off their starting points."""
    method = small.perturbed_twin(small.moco_method(**fields))
    for past in (16, 10):
        method.queue.enqueue(normalize(numbers(f"{past} keys", past, 6)))
    plan = small.plan(method)
    if over_msr:
        plan = msr.rewrite(plan, msr.Config(base_weight=0.4, schedule="constant"))
    return Objective(method, plan, {}), small.views_of(plan)


@pytest.mark.parametrize("symmetric", [False, True])
def test_objective_compares_queries_with_the_twins_keys_and_the_queue(symmetric):
    objective, views = a_run(symmetric=symmetric, temperature=0.3)
    networks = copy.deepcopy(objective.method)
    q = {name: networks.encode(view.images).projection for name, view in views.items()}
    k = {name: networks.encode_target(view.images).projection for name, view in views.items()}
    negatives = [networks.queue.rows.tolist()] * 6
    expected = paper(q["first"], k["second"], negatives, 0.3)
    if symmetric:
        expected += paper(q["second"], k["first"], negatives, 0.3)
    assert objective(views, None, small.at(0.1)).total.item() == pytest.approx(expected, rel=1e-12)


def test_gradient_comes_through_queries_only():
    objective, views = a_run()
    for view in views.values():
        view.images.requires_grad_()
    objective(views, None, small.at(0.1)).total.backward()
    assert views["first"].images.grad.any()
    assert views["second"].images.grad is None
    assert not objective.method.queue.rows.requires_grad
    for name, gradient in small.gradients(objective.method).items():
        assert gradient is None if name.startswith("twin.") else gradient.any(), name


def test_keys_are_constants_whoever_makes_them():
    method = small.moco_method()
    assert not method.key(method.encode(small.views_of(small.plan(method))["second"].images), "second").requires_grad


@pytest.mark.parametrize("symmetric", [False, True])
def test_queue_takes_the_keys_and_not_the_queries(symmetric):
    objective, views = a_run(symmetric=symmetric)
    networks = copy.deepcopy(objective.method)
    objective.after_step(small.at(0.5), objective(views, None, small.at(0.4)).keys)
    names = ("second", "first") if symmetric else ("second",)
    keys = [normalize(networks.encode_target(views[name].images).projection) for name in names]
    places = [place % 16 for place in range(10, 10 + 6 * len(names))]
    torch.testing.assert_close(objective.method.queue.rows[places], torch.cat(keys), rtol=1e-12, atol=1e-14)
    kept = [place for place in range(16) if place not in places]
    assert torch.equal(objective.method.queue.rows[kept], networks.queue.rows[kept])


def test_matched_negatives_and_peers_are_not_stored():
    method = small.moco_method()
    view = small.plan(method).views["first"]
    plan = Plan(dict.fromkeys("qkn", view), [Pair("q", "k", key_from="target", negatives=("n",))])
    assert set(Objective(method, plan, {})(small.views_of(plan), None, small.at(0.1)).keys) == {"k"}
    objective, views = a_run(over_msr=True)
    assert set(objective(views, None, small.at(0.1)).keys) == {"second"}


def test_twin_follows_with_the_same_momentum_throughout():
    for progress in (0.1, 1.0):
        objective, views = a_run(momentum=0.9)
        method = objective.method
        before = [parameter.clone() for parameter in method.twin.parameters()]
        objective.after_step(small.at(progress), objective(views, None, small.at(0.1)).keys)
        online = [*method.encoder.parameters(), *method.projector.parameters()]
        for old, new, followed in zip(before, method.twin.parameters(), online, strict=True):
            torch.testing.assert_close(new, 0.9 * old + 0.1 * followed, rtol=1e-13, atol=1e-15)


def test_msr_compares_aggressive_queries_with_weak_keys_and_aggressive_peers():
    """Its two terms in one direction; the peer is what the online network makes of the other aggressive view."""
    objective, views = a_run(over_msr=True, temperature=0.3)
    networks = copy.deepcopy(objective.method)
    q, peer = (networks.encode(views[f"{name}_aggressive"].images).projection for name in ("first", "second"))
    key = networks.encode_target(views["second"].images).projection
    negatives = [networks.queue.rows.tolist()] * 6
    expected = 0.6 * paper(q, key, negatives, 0.3) + 0.4 * paper(q, peer, negatives, 0.3)
    passes = []
    objective.method.encoder.register_forward_pre_hook(lambda *_: passes.append("online"))
    objective.method.twin.register_forward_pre_hook(lambda *_: passes.append("target"))
    views["second_aggressive"].images.requires_grad_()
    total = objective(views, None, small.at(0.1)).total
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert sorted(passes) == ["online", "online", "target"]
    total.backward()
    assert views["second_aggressive"].images.grad is None


def test_three_steps_give_the_known_curve():
    method = small.moco_method(momentum=0.9)
    losses = small.train(
        Objective(method, small.plan(method), {}), small.views_of(small.plan(method)), steps=3, lr=0.05
    )
    assert losses == pytest.approx([5.0471523, 2.5103048, 2.5067554], rel=1e-6)
