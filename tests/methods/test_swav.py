import copy
import math

import pytest
import torch
from lightly.loss import SwaVLoss
from torch.nn.functional import normalize

from augment import draws
from augment.views import View
from methods import swav
from methods.addons import msr
from methods.contract import Encoded
from methods.objective import Objective
from orchestrator.training import groups
from orchestrator.training.optimizers import sgd
from tests.methods import small
from tests.methods.random_cases import SEEDS, drawn
from tests.orchestrator.training.optimizers import built

# Of the networks and the loss, for random cases.
RANGES = {
    "projector_outputs": (2, 32),
    "num_prototypes": (2, 32),
    "temperature": (0.02, 2.0),
    "epsilon": (0.01, 2.0),
    "sinkhorn_iterations": (1, 10),
}


def paper(projection: torch.Tensor, codes: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> float:
    """Equation 2 of arXiv 2006.09882, image by image."""
    total = 0.0
    for z, q in zip(normalize(projection, dim=1).tolist(), codes.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(z, c, strict=True)) / temperature for c in prototypes.tolist()]
        log_sum = math.log(sum(math.exp(score) for score in scores))
        total -= sum(share * (score - log_sum) for share, score in zip(q, scores, strict=True))
    return total / len(projection)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_of_a_pair_is_the_papers(seed):
    fields = drawn(seed, batch=(1, 24), **RANGES)
    batch = fields.pop("batch")
    method = small.swav_method(seed, **fields)
    count, dim = method.prototypes.weight.shape
    z, scores = (3 * draws.normal(seed, "z and q", (batch, dim + count)).double()).split([dim, count], dim=1)
    codes = scores.softmax(dim=1)
    expected = paper(z, codes, method.prototypes.weight, fields["temperature"])
    assert method.pair_loss(Encoded(z, z, z), codes, []).item() == pytest.approx(expected, rel=1e-12)


def a_run(seed: int = 0, batch: int = 6, **fields) -> tuple[Objective, torch.nn.Module, dict[str, View]]:
    """The objective, an untouched copy of its networks, and views, the small ones half as large."""
    method = small.swav_method(seed, **fields)
    method.prototypes.reset()  # drawn in float32, they are not yet of length 1 in float64
    plan = small.plan(method)
    views = small.views_of(plan, batch, size=16, seed=seed)
    views |= {name: View(view.images[:, :, ::2, ::2]) for name, view in views.items() if name.startswith("small")}
    return Objective(method, plan, {}), copy.deepcopy(method), views


def lightlys(networks: torch.nn.Module, views: dict[str, View], queues: list[torch.Tensor] | None = None):
    """Its loss on what the networks make of the views."""
    scores = [
        networks.prototypes(normalize(networks.projector(networks.encoder(view.images)), dim=1))
        for view in views.values()
    ]
    config = networks.config
    loss = SwaVLoss(config.temperature, config.sinkhorn_iterations, config.epsilon)
    return loss(scores[:2], scores[2:], None if queues is None else [networks.prototypes(rows) for rows in queues])


SETTINGS = {"temperature": 0.2, "epsilon": 0.1, "sinkhorn_iterations": 4}


@pytest.mark.parametrize("seed", SEEDS)
def test_objective_is_lightlys_with_its_gradient(seed):
    fields = drawn(seed, batch=(2, 16), small_views=(0, 3), queue_size=(0, 32), **RANGES)
    objective, networks, views = a_run(seed, **fields, small_size=8, queue_start=0.0)
    queues = objective.method.queues
    for name, queue in queues.items():
        queue.enqueue(normalize(draws.normal(seed, f"{name} past", queue.rows.shape).double()))
    ours = objective(views, None, small.at(0.1)).total
    theirs = lightlys(networks, views, [queue.rows for queue in queues.values()] or None).squeeze()
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    ours.backward()
    theirs.backward()
    expected = small.gradients(networks)
    for name, gradient in small.gradients(objective.method).items():
        if not name.startswith("queues"):
            torch.testing.assert_close(gradient, expected[name], rtol=1e-7, atol=1e-12)


def test_every_view_predicts_the_codes_of_the_full_size_views_but_its_own():
    plan = small.plan(small.swav_method(small_views=2, small_size=24))
    assert {name: (view.recipe, view.size) for name, view in plan.views.items()} == {
        "first": (("weak", "aggressive"), None),
        "second": (("weak", "aggressive"), None),
        "small_1": (("small", "aggressive"), 24),
        "small_2": (("small", "aggressive"), 24),
    }
    pairs = {(pair.query, pair.key): (pair.weight, pair.key_from) for pair in plan.pairs}
    both = [(f"small_{i}", key) for i in (1, 2) for key in ("first", "second")]
    assert pairs == dict.fromkeys([("first", "second"), ("second", "first"), *both], (1 / 6, "codes"))


def test_codes_are_made_once_for_each_full_size_view(monkeypatch):
    objective, _, views = a_run(small_views=3, small_size=8)
    calls = []
    monkeypatch.setattr(swav, "sinkhorn", lambda *args, real=swav.sinkhorn, **kw: calls.append(1) or real(*args, **kw))
    objective(views, None, small.at(0.1))
    assert len(calls) == 2


def test_gradient_comes_through_predictions_only():
    objective, _, views = a_run()
    for view in views.values():
        view.images.requires_grad_()
    method = objective.method
    query, key = (method.encode(views[name].images) for name in ("first", "second"))
    method.pair_loss(query, method.key(key, "second"), []).backward()
    assert views["first"].images.grad.any()
    assert views["second"].images.grad is None
    assert method.prototypes.weight.grad.any()


# --- the queue ----------------------------------------------------------------------------------------------------


def queues_of(method: swav.Method) -> list[torch.Tensor]:
    return [method.queues[name].rows for name in ("first", "second")]


def past_of(objective: Objective) -> dict[str, View]:
    """Another batch; the same one would change no code, since two of each image share out as one does."""
    return small.views_of(objective.plan, size=16, seed=1)


def test_queue_holds_projections_of_its_view_that_count_once_written():
    objective, networks, views = a_run(**SETTINGS, queue_size=8, queue_start=0.0)
    past = past_of(objective)
    keys = objective(past, None, small.at(0.1)).keys
    objective.after_step(small.at(0.2), keys)
    written = [normalize(networks.projector(networks.encoder(view.images)), dim=1) for view in past.values()]
    for queue, rows in zip(queues_of(objective.method), written, strict=True):
        torch.testing.assert_close(queue[:6], rows, rtol=1e-12, atol=1e-14)
    ours = objective(views, None, small.at(0.2)).total
    torch.testing.assert_close(ours, lightlys(networks, views, written).squeeze(), rtol=1e-10, atol=0)
    objective.after_step(small.at(0.3), objective(views, None, small.at(0.2)).keys)  # it wraps
    ours = objective(views, None, small.at(0.3)).total
    whole = [queue.clone() for queue in queues_of(objective.method)]
    torch.testing.assert_close(ours, lightlys(networks, views, whole).squeeze(), rtol=1e-10, atol=0)


def test_queue_counts_from_its_start_on():
    objective, networks, views = a_run(**SETTINGS, queue_size=8, queue_start=0.5)
    keys = objective(past_of(objective), None, small.at(0.1)).keys
    without = lightlys(networks, views).squeeze()
    for progress, counts in ((0.25, False), (0.4999, False), (0.5, True), (1.0, True)):
        objective.after_step(small.at(progress), keys)
        total = objective(views, None, small.at(progress)).total
        assert bool(torch.isclose(total, without, rtol=1e-4 if counts else 1e-10)) != counts


def test_no_queue_is_made_where_none_is_asked_for():
    assert not [name for name in small.swav_method().state_dict() if name.startswith("queues")]


# --- the prototypes -----------------------------------------------------------------------------------------------


def test_prototypes_start_and_stay_on_the_sphere():
    objective, _, views = a_run()
    weight, ones = objective.method.prototypes.weight, torch.ones(5, dtype=torch.float64)
    torch.testing.assert_close(weight.norm(dim=1), ones, rtol=1e-6, atol=0)
    small.train(objective, views, steps=2, lr=0.3)
    torch.testing.assert_close(weight.norm(dim=1), ones, rtol=1e-12, atol=0)


def test_prototypes_stand_still_while_frozen_and_keep_nothing_of_it():
    """Neither gradient nor decay nor momentum: the first free step is that of a fresh optimiser."""
    objective, _, views = a_run(freeze=0.5)
    prototypes, steps = objective.method.prototypes.weight, 6
    config = sgd.Config(lr=0.5, weight_decay=0.1)
    optimizer = built(config, objective.parameter_groups())
    start, others = prototypes.detach().clone(), objective.method.projector[0].weight
    for k in range(1, steps + 1):
        before, other = prototypes.detach().clone(), others.detach().clone()
        losses = objective(views, None, small.at(k / steps))
        optimizer.zero_grad()
        losses.total.backward()
        gradient = prototypes.grad.clone()
        assert gradient.any()
        groups.hold_frozen(optimizer, k / steps)
        optimizer.step()
        assert not torch.equal(others, other)
        if k <= 3:
            assert torch.equal(prototypes, before)
            assert prototypes not in optimizer.state
        if k == 4:
            torch.testing.assert_close(prototypes, before - 0.5 * (gradient + 0.1 * before), rtol=1e-12, atol=1e-14)
        objective.after_step(small.at(min(1.0, (k + 1) / steps)), losses.keys)
        if k <= 3:
            torch.testing.assert_close(prototypes.detach(), start, rtol=1e-14, atol=0)


def test_negatives_are_refused():
    method = small.swav_method()
    encoded = method.encode(small.views_of(small.plan(method))["first"].images)
    with pytest.raises(ValueError, match="compares no pairs; use simclr"):
        method.pair_loss(encoded, method.key(encoded, "first"), [encoded.projection])


def test_msr_is_refused():
    with pytest.raises(ValueError, match=r"this method's are codes; drop addons\.msr"):
        msr.rewrite(small.plan(small.swav_method()), msr.Config())


def test_three_steps_give_the_known_curve():
    objective, _, views = a_run(small_views=1, small_size=8, queue_size=8, queue_start=0.0)
    losses = small.train(objective, views, steps=3, lr=0.02)
    assert losses == pytest.approx([5.3291895, 3.7829489, 2.3774343], rel=1e-6)
