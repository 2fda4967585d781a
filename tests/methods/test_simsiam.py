import copy
import math

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from augment import draws
from methods.addons import msr
from methods.contract import Encoded
from methods.objective import Objective
from orchestrator.training import groups
from orchestrator.training.optimizers import sgd
from tests.methods import small
from tests.methods.random_cases import SEEDS, drawn
from tests.orchestrator.training.optimizers import built


def paper(prediction: torch.Tensor, key: torch.Tensor) -> float:
    """Equation 1 of arXiv 2011.10566, row by row."""
    total = 0.0
    for p, z in zip(prediction.tolist(), key.tolist(), strict=True):
        total -= sum(a * b for a, b in zip(p, z, strict=True)) / math.hypot(*p) / math.hypot(*z)
    return total / len(prediction)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_is_the_papers_and_lightlys_with_its_gradient(seed):
    shape = drawn(seed, batch=(1, 32), dim=(2, 128)).values()
    p, z = (5 * draws.normal(seed, name, tuple(shape)).double() for name in "pz")
    p.requires_grad_()
    ours = small.simsiam_method().pair_loss(Encoded(p, p, p), z, [])
    theirs = NegativeCosineSimilarity()(p, z)
    assert ours.item() == pytest.approx(paper(p, z), rel=1e-12)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(loss, p)[0] for loss in (ours, theirs)), rtol=1e-10, atol=1e-15)


def a_run(*, over_msr: bool = False) -> tuple[Objective, torch.nn.Module, dict]:
    """The objective, an untouched copy of its networks, and views."""
    method = small.simsiam_method()
    plan = small.plan(method)
    if over_msr:
        plan = msr.rewrite(plan, msr.Config(base_weight=0.4, schedule="constant"))
    return Objective(method, plan, {}), copy.deepcopy(method), small.views_of(plan)


def distance(networks: torch.nn.Module, views: dict, query: str, key: str) -> torch.Tensor:
    """One direction in the letters of algorithm 1."""
    z = networks.projector(networks.encoder(views[query].images))
    return NegativeCosineSimilarity()(
        networks.predictor(z), networks.projector(networks.encoder(views[key].images)).detach()
    )


def test_objective_is_algorithm_1_with_its_gradient():
    objective, networks, views = a_run()
    theirs = distance(networks, views, "first", "second") / 2 + distance(networks, views, "second", "first") / 2
    ours = objective(views, None, small.at(0.1)).total
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    ours.backward()
    theirs.backward()
    expected = small.gradients(networks)
    for name, gradient in small.gradients(objective.method).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-13)
        # A bias in front of a norm moves nothing.
        assert gradient.abs().max() > 1e-6 or name.endswith(("projector.0.bias", "predictor.0.bias")), name


def test_keys_are_constants():
    """So one direction sees the network through its query only."""
    objective, _, views = a_run()
    for view in views.values():
        view.images.requires_grad_()
    method = objective.method
    query, key = (method.encode(views[name].images) for name in ("first", "second"))
    method.pair_loss(query, method.key(key, "second"), []).backward()
    assert views["first"].images.grad.any()
    assert views["second"].images.grad is None


def test_projections_are_standardised_over_the_batch():
    _, networks, views = a_run()
    projection = networks.encode(views["first"].images).projection
    torch.testing.assert_close(projection.mean(dim=0), torch.zeros(12, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(projection.var(dim=0, correction=0), torch.ones(12).double(), rtol=0.02, atol=0)


def test_projector_has_as_many_layers_as_asked_for():
    for layers in (1, 2, 3):
        projector = small.simsiam_method(projector_layers=layers).projector
        assert sum(isinstance(layer, torch.nn.Linear) for layer in projector) == layers
        assert sum(isinstance(layer, torch.nn.BatchNorm1d) for layer in projector) == layers


def test_predictor_keeps_the_peak_rate():
    objective, _, _ = a_run()
    config = sgd.Config(lr=0.2)
    optimizer = built(config, objective.parameter_groups())
    groups.set_rate(optimizer, 0.2, 0.25)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in objective.method.named_parameters():
        assert rates[id(parameter)] == (0.2 if name.startswith("predictor.") else 0.05), name


def test_negatives_are_refused():
    method = small.simsiam_method()
    encoded = method.encode(small.views_of(small.plan(method))["first"].images)
    with pytest.raises(ValueError, match="positives only; use simclr"):
        method.pair_loss(encoded, encoded.projection.detach(), [encoded.projection])


def test_msr_predicts_constant_projections_of_weak_and_aggressive_views():
    """Peers are projections as SimSiam's own keys are, made on the way to the aggressive views' predictions."""
    objective, networks, views = a_run(over_msr=True)
    expected = 0.0
    for q, k in (("first", "second"), ("second", "first")):
        expected += 0.5 * 0.6 * distance(networks, views, f"{q}_aggressive", k)
        expected += 0.5 * 0.4 * distance(networks, views, f"{q}_aggressive", f"{k}_aggressive")
    passes = []
    objective.method.encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    for view in views.values():
        view.images.requires_grad_()
    total = objective(views, None, small.at(0.3)).total
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    assert len(passes) == 4
    total.backward()
    expected.backward()
    theirs = small.gradients(networks)
    for name, gradient in small.gradients(objective.method).items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-9, atol=1e-13)
    for name, view in views.items():
        assert (view.images.grad is not None) == name.endswith("_aggressive")


def test_three_steps_give_the_known_curve():
    method = small.simsiam_method()
    losses = small.train(Objective(method, small.plan(method), {}), small.views_of(small.plan(method)), steps=3, lr=0.1)
    assert losses == pytest.approx([0.18667637, -0.010458875, -0.079679117], rel=1e-6)
