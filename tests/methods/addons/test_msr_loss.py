"""What MSR makes of the losses of BYOL and SimCLR, against the paper's equations."""

import copy
import math

import pytest
import torch
from torch import nn

from methods.addons import msr
from methods.contract import Pair, Plan
from methods.objective import Objective
from tests.methods import small


def over_byol(**fields) -> tuple[Objective, nn.Module]:
    """MSR over BYOL in the middle of a training, and an untouched copy of its networks."""
    method = small.perturbed_twin(small.byol_method())
    plan = msr.rewrite(small.plan(method), msr.Config(**fields))
    return Objective(method, plan, {}), copy.deepcopy(method)


def distance(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    u, v = u / u.norm(dim=1, keepdim=True), v / v.norm(dim=1, keepdim=True)
    return ((u - v) ** 2).sum(1).mean()


def equation_5(networks: nn.Module, views: dict, weight: float, *, detach: bool) -> torch.Tensor:
    """Equation 5 of arXiv 2206.01999 in its own letters; `detach` as in the official code."""

    def online(view: str) -> torch.Tensor:
        return networks.predictor(networks.projector(networks.encoder(views[view].images)))

    def target(view: str) -> torch.Tensor:
        with torch.no_grad():
            return networks.twin.networks(views[view].images)

    z, z2, y, y2 = online("first_aggressive"), online("second_aggressive"), target("first"), target("second")
    stop = torch.Tensor.detach if detach else torch.clone
    return (
        (1 - weight) * distance(z, y2)
        + weight * distance(z, stop(z2))
        + (1 - weight) * distance(z2, y)
        + weight * distance(z2, stop(z))
    )


@pytest.mark.parametrize(("base_weight", "progress"), [(0.3, 0.25), (0.4, 0.5), (1.0, 0.0), (0.0, 0.3), (0.4, 1.0)])
def test_loss_over_byol_is_equation_5_with_its_gradient(base_weight, progress):
    objective, networks = over_byol(base_weight=base_weight)
    views = small.views_of(objective.plan)
    weight = base_weight * (math.cos(math.pi * progress) + 1) / 2
    expected = equation_5(networks, views, weight, detach=True)
    expected.backward()
    total = objective(views, None, small.at(progress)).total
    total.backward()
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    ours, theirs = small.gradients(objective.method), small.gradients(networks)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        if name.startswith("twin."):
            assert ours[name] is gradient is None
        else:
            torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-13)


def test_without_the_stop_the_gradient_would_be_another():
    """So that the test above cannot pass by chance: the value of the loss does not show the stop."""
    gradients = []
    for detach in (True, False):
        _, networks = over_byol()
        loss = equation_5(networks, small.views_of(msr.rewrite(small.plan(networks), msr.Config())), 0.3, detach=detach)
        loss.backward()
        gradients.append(networks.predictor[0].weight.grad)
    assert (gradients[0] - gradients[1]).norm() > 0.01 * gradients[0].norm()


def test_over_byol_two_passes_each_and_every_key_once(monkeypatch):
    objective, _ = over_byol()
    method, views = objective.method, small.views_of(objective.plan)
    names = {id(view.images): name for name, view in views.items()}
    passes, keys = [], []
    method.encoder.register_forward_pre_hook(lambda _, inputs: passes.append(("online", names[id(inputs[0])])))
    method.twin.register_forward_pre_hook(lambda _, inputs: passes.append(("target", names[id(inputs[0])])))
    make_key = method.key
    monkeypatch.setattr(method, "key", lambda encoded, view: keys.append(view) or make_key(encoded, view))
    objective(views, None, small.at(0.5))
    assert sorted(passes) == [
        ("online", "first_aggressive"),
        ("online", "second_aggressive"),
        ("target", "first"),
        ("target", "second"),
    ]
    assert sorted(keys) == ["first", "second"]


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_gradient_map_over_byol(progress):
    """Weak images move nothing; aggressive ones do, the whole way."""
    objective, _ = over_byol(base_weight=0.4)
    views = small.views_of(objective.plan)
    for view in views.values():
        view.images.requires_grad_()
    objective(views, None, small.at(progress)).total.backward()
    assert views["first"].images.grad is None
    assert views["second"].images.grad is None
    assert views["first_aggressive"].images.grad.any()
    assert views["second_aggressive"].images.grad.any()


@pytest.mark.parametrize(("base_weight", "kept"), [(0.0, "weak"), (1.0, "aggressive")])
@pytest.mark.parametrize("make", [small.byol_method, small.simclr_method])
def test_extreme_weights_leave_one_kind_of_pair(make, base_weight, kept):
    method = make()
    plan = msr.rewrite(small.plan(method), msr.Config(base_weight=base_weight, schedule="constant"))
    views, weights = small.views_of(plan), list(method.projector.parameters())
    got = Objective(method, plan, {})(views, None, small.at(0.5)).total
    gradients = torch.autograd.grad(got, weights)
    scale = 1.0 if make is small.byol_method else 0.5
    pairs = [
        Pair(pair.query, pair.key, scale, pair.key_from)
        for pair in plan.pairs
        if pair.key.endswith("_aggressive") == (kept == "aggressive")
    ]
    alone = Objective(method, Plan(plan.views, pairs), {})(views, None, small.at(0.5)).total
    expected = torch.autograd.grad(alone, weights)
    torch.testing.assert_close(got, alone, rtol=1e-13, atol=0)
    for x, y in zip(gradients, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-14)


def test_over_simclr_four_passes_and_gradient_through_weak_views():
    method = small.simclr_method()
    plan = msr.rewrite(small.plan(method), msr.Config(base_weight=0.4))
    objective, views = Objective(method, plan, {}), small.views_of(plan)
    passes = []
    method.encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    for view in views.values():
        view.images.requires_grad_()
    objective(views, None, small.at(0.5)).total.backward()
    assert len(passes) == 4
    assert all(view.images.grad.any() for view in views.values())


def test_loss_over_simclr_is_its_closed_form():
    method = small.simclr_method(temperature=0.3)
    plan = msr.rewrite(small.plan(method), msr.Config(base_weight=0.4, schedule="constant"))
    views = small.views_of(plan)
    z = {name: nn.functional.normalize(method.encode(view.images).projection, dim=1) for name, view in views.items()}

    def one_way(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        positive = (query * key).sum(1) / 0.3
        others = torch.exp(query @ key.T / 0.3).sum(1) + torch.exp(query @ query.T / 0.3).sum(1) - math.exp(1 / 0.3)
        return (others.log() - positive).mean()

    expected = 0.0
    for q, k in (("first", "second"), ("second", "first")):
        expected += 0.5 * 0.6 * one_way(z[f"{q}_aggressive"], z[k])
        expected += 0.5 * 0.4 * one_way(z[f"{q}_aggressive"], z[f"{k}_aggressive"])
    total = Objective(method, plan, {})(views, None, small.at(0.7)).total
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
