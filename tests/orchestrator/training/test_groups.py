import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.training.groups import hold_frozen, peak_rate, rate_factor, set_rate
from orchestrator.training.optimizers import lars, sgd
from tests.orchestrator.training.optimizers import built


@pytest.mark.parametrize(("batch", "share"), [(64, 0.25), (255, 255 / 256), (256, 1.0), (384, 1.5)])
def test_peak_rate_is_linear_in_the_batch(batch, share):
    assert peak_rate(sgd.Config(lr=0.3), batch) == 0.3 * share


def test_rate_rises_linearly_then_falls_as_half_a_cosine():
    steps, warmup = 50, 10
    factors = [rate_factor(k, steps=steps, warmup_steps=warmup) for k in range(1, steps + 1)]
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(factors[10:], np.cos(np.pi / 2 * np.arange(40) / 40) ** 2)
    assert all(factor > 0 for factor in factors)
    assert factors[-1] < 0.002


def test_rate_without_warmup_starts_at_the_peak():
    assert rate_factor(1, steps=7, warmup_steps=0) == 1


@pytest.mark.parametrize(("step", "steps", "warmup"), [(0, 5, 0), (6, 5, 0), (1, 5, 5), (1, 5, -1)])
def test_rate_refuses_steps_outside_the_budget(step, steps, warmup):
    with pytest.raises(ValueError, match="must hold, got step="):
        rate_factor(step, steps=steps, warmup_steps=warmup)


def test_constant_group_keeps_the_peak():
    params = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr_schedule": "constant"}]
    optimizer = built(sgd.Config(lr=0.2), groups)
    set_rate(optimizer, 0.2, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]


@pytest.mark.parametrize("module", [sgd, lars])
def test_frozen_group_stands_still_and_then_starts_afresh(module):
    """With momentum and decay on, what the frozen steps would have left behind would show in the first free one."""
    frozen, free, fresh = (nn.Parameter(torch.tensor([[1.0, -2.0]])) for _ in range(3))
    config = module.Config(lr=0.2, momentum=0.5, weight_decay=0.1)
    optimizer = built(config, [{"params": [frozen], "frozen": 0.5}, {"params": [free]}])
    for k in range(1, 5):
        before = free.detach().clone()
        frozen.grad, free.grad = (torch.full((1, 2), float(k)) for _ in range(2))
        hold_frozen(optimizer, k / 4)
        optimizer.step()
        assert not torch.equal(free, before)
        assert torch.equal(frozen, torch.tensor([[1.0, -2.0]])) == (k <= 2)
    late = built(config, [{"params": [fresh]}])
    for k in (3, 4):
        fresh.grad = torch.full((1, 2), float(k))
        late.step()
    assert torch.equal(frozen, fresh)


def test_group_with_a_frozen_share_of_nothing_is_trained_from_the_first_step():
    weight = nn.Parameter(torch.ones(1))
    optimizer = built(sgd.Config(), [{"params": [weight], "frozen": 0.0}])
    weight.grad = torch.ones(1)
    hold_frozen(optimizer, 1 / 1_000_000)
    assert weight.grad is not None
