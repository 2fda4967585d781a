import math

import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.training.optimizers import lars
from tests.orchestrator.training.optimizers import built


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
    config = lars.Config(lr=2.0, momentum=0.8, weight_decay=0.01)
    optimizer = built(config, [{"params": list(model.parameters())}], 512)
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
    optimizer = lars.LARS([nn.Parameter(torch.zeros(1))], 0.1)
    with pytest.raises(ValueError, match="no closure"):
        optimizer.step(lambda: 0.0)
