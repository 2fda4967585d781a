"""No method may end at one point for all images: projections must stay spread over the sphere."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.addons import msr
from methods.contract import Plan
from methods.objective import Objective
from tests.methods import small


def spread_after_training(method: nn.Module, plan: Plan) -> float:
    """Of projections on the unit sphere: 1 is uniform, 0 a single point."""
    views, labels = small.views_of(plan, batch=16), torch.arange(16) % 3
    small.train(Objective(method, plan, {}), views, steps=60, lr=0.1, labels=labels)
    with torch.no_grad():
        projection = method.encode(views["first"].images).projection
    return (nn.functional.normalize(projection, dim=1).std(dim=0).mean() * projection.shape[1] ** 0.5).item()


TAKE_MSR = [small.simclr_method, small.moco_method, small.byol_method, small.simsiam_method]


@pytest.mark.parametrize("make", [*TAKE_MSR, small.swav_method, small.supervised_method])
def test_features_do_not_collapse(make):
    method = make()
    assert spread_after_training(method, small.plan(method)) > 0.8


@pytest.mark.parametrize("make", TAKE_MSR)
def test_features_do_not_collapse_under_msr(make):
    method = make()
    assert spread_after_training(method, msr.rewrite(small.plan(method), msr.Config())) > 0.8


def test_features_collapse_where_nothing_holds_them():
    """The control: no predictor, no twin, and keys that move towards their queries."""
    method = small.byol_method()
    method.predictor = nn.Identity()
    method.key = lambda encoded, view: encoded.projection
    pairs = [replace(pair, key_from="online") for pair in small.plan(method).pairs]
    assert spread_after_training(method, replace(small.plan(method), pairs=pairs)) < 0.5
