import math

import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.config.optimizer import OptimizerConfig
from orchestrator.training import optimizers
from orchestrator.training.optimizers import peak_rate, rate_factor, set_rate
from tests.orchestrator.tiny_run import tiny_run


def lars_oracle(params, gradients, buffers, *, lr, momentum, weight_decay):
    """The update of one step, number by number."""
    for name, param in params.items():
        update = gradients[name].copy()
        if param.ndim > 1:
            update += weight_decay * param
            param_norm, update_norm = math.sqrt((param**2).sum()), math.sqrt((update**2).sum())
            if param_norm > 0 and update_norm > 0:
                update *= 0.001 * param_norm / update_norm
        buffers[name] = momentum * buffers.get(name, 0.0) + update
        params[name] = param - lr * buffers[name]


def test_lars_equals_its_oracle_with_vectors_zeros_and_unused_weights():
    draw = np.random.default_rng(0).normal
    start = {
        "conv": draw(size=(4, 3, 3, 3)),
        "matrix": draw(size=(5, 4)),
        "bias": draw(size=5),
        "zero": np.zeros((3, 2)),
    }
    model = nn.ParameterDict({name: nn.Parameter(torch.tensor(value)) for name, value in start.items()})
    model["unused"] = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    groups = [{"params": list(model.parameters())}]
    optimizer = optimizers.build(OptimizerConfig(name="lars", lr=2.0, momentum=0.8, weight_decay=0.01), groups, 512)
    params, buffers = {name: value.copy() for name, value in start.items()}, {}
    for step in range(5):
        gradients = {name: draw(size=value.shape) for name, value in start.items()}
        if step == 0:
            gradients["zero"][:] = 0  # neither the weight nor its update has a direction
        for name, gradient in gradients.items():
            model[name].grad = torch.tensor(gradient)
        optimizer.step()
        lars_oracle(params, gradients, buffers, lr=4.0, momentum=0.8, weight_decay=0.01)
    for name, value in params.items():
        np.testing.assert_allclose(model[name].detach().numpy(), value, rtol=1e-10, atol=1e-12)
    assert torch.equal(model["unused"], torch.ones(2, 2, dtype=torch.float64))


def test_lars_refuses_a_closure():
    optimizer = optimizers.LARS([nn.Parameter(torch.zeros(1))], 0.1)
    with pytest.raises(ValueError, match="no closure"):
        optimizer.step(lambda: 0.0)


def test_sgd_decays_every_weight_and_follows_its_definition():
    weight, bias = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([[1.0, -2.0]], [0.5]))
    optimizer = optimizers.build(
        OptimizerConfig(lr=0.2, momentum=0.5, weight_decay=0.1), [{"params": [weight]}, {"params": [bias]}], 128
    )
    values, buffers = [np.array([[1.0, -2.0]]), np.array([0.5])], [0.0, 0.0]
    for gradient in (1.0, -3.0):
        weight.grad, bias.grad = torch.full_like(weight, gradient), torch.full_like(bias, gradient)
        optimizer.step()
        for i in range(2):
            buffers[i] = 0.5 * buffers[i] + gradient + 0.1 * values[i]
            values[i] = values[i] - 0.1 * buffers[i]
    np.testing.assert_allclose(weight.detach().numpy(), values[0])
    np.testing.assert_allclose(bias.detach().numpy(), values[1])


@pytest.mark.parametrize(("batch", "share"), [(64, 0.25), (255, 255 / 256), (256, 1.0), (384, 1.5)])
def test_peak_rate_is_linear_in_the_batch(batch, share):
    assert peak_rate(OptimizerConfig(lr=0.3), batch) == 0.3 * share


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
    optimizer = optimizers.build(OptimizerConfig(lr=0.2), groups, 256)
    set_rate(optimizer, 0.2, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]


@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_frozen_group_stands_still_and_then_starts_afresh(name):
    """With momentum and decay on, what the frozen steps would have left behind would show in the first free one."""
    frozen, free, fresh = (nn.Parameter(torch.tensor([[1.0, -2.0]])) for _ in range(3))
    config = OptimizerConfig(name=name, lr=0.2, momentum=0.5, weight_decay=0.1)
    optimizer = optimizers.build(config, [{"params": [frozen], "frozen": 0.5}, {"params": [free]}], 256)
    for k in range(1, 5):
        before = free.detach().clone()
        frozen.grad, free.grad = (torch.full((1, 2), float(k)) for _ in range(2))
        optimizers.hold_frozen(optimizer, k / 4)
        optimizer.step()
        assert not torch.equal(free, before)
        assert torch.equal(frozen, torch.tensor([[1.0, -2.0]])) == (k <= 2)
    late = optimizers.build(config, [{"params": [fresh]}], 256)
    for k in (3, 4):
        fresh.grad = torch.full((1, 2), float(k))
        late.step()
    assert torch.equal(frozen, fresh)


def test_group_with_a_frozen_share_of_nothing_is_trained_from_the_first_step():
    weight = nn.Parameter(torch.ones(1))
    optimizer = optimizers.build(OptimizerConfig(), [{"params": [weight], "frozen": 0.0}], 256)
    weight.grad = torch.ones(1)
    optimizers.hold_frozen(optimizer, 1 / 1_000_000)
    assert weight.grad is not None


def test_config_is_reached_from_a_run():
    assert tiny_run(optimizer={"name": "lars", "momentum": 0.5}).optimizer == OptimizerConfig(
        name="lars", lr=0.4, momentum=0.5
    )


@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_optimizers_do_without_the_wrappers_that_import_torchs_compiler(name):
    weight, peer = (nn.Parameter(torch.tensor([[1.0, -2.0], [0.3, 0.1]])) for _ in range(2))
    ours = optimizers.build(OptimizerConfig(name=name, lr=0.2), [{"params": [weight]}], 256)
    for method in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        assert not hasattr(getattr(type(ours), method), "__wrapped__")
    wrapped = torch.optim.SGD if name == "sgd" else optimizers.LARS
    theirs = wrapped([peer], lr=0.2, momentum=0.9, weight_decay=5e-4)
    for gradient in (1.0, -3.0, 0.5):
        ours.zero_grad()
        assert weight.grad is None
        weight.grad, peer.grad = (torch.full_like(one, gradient) for one in (weight, peer))
        ours.step()
        theirs.step()
    assert torch.equal(weight, peer)
