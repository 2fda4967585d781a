import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.config.mistakes import ConfigError
from orchestrator.training.optimizers import adamw
from tests.orchestrator.tiny_run import tiny_run
from tests.orchestrator.training.optimizers import built


def test_follows_its_definition_on_matrices_and_vectors():
    weight, bias = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([[1.0, -2.0]], [0.5]))
    config = adamw.Config(lr=0.2, beta1=0.8, beta2=0.9, weight_decay=0.3)
    optimizer = built(config, [{"params": [weight]}, {"params": [bias]}], 128)
    values, means, squares = [np.array([[1.0, -2.0]]), np.array([0.5])], [0.0, 0.0], [0.0, 0.0]
    for step, gradient in enumerate((1.0, -3.0, 0.5), start=1):
        weight.grad, bias.grad = torch.full_like(weight, gradient), torch.full_like(bias, gradient)
        optimizer.step()
        for i in range(2):
            means[i] = 0.8 * means[i] + 0.2 * gradient
            squares[i] = 0.9 * squares[i] + 0.1 * gradient**2
            update = means[i] / (1 - 0.8**step) / (np.sqrt(squares[i] / (1 - 0.9**step)) + 1e-8)
            values[i] = values[i] * (1 - 0.1 * 0.3) - 0.1 * update
    np.testing.assert_allclose(weight.detach().numpy(), values[0])
    np.testing.assert_allclose(bias.detach().numpy(), values[1])


def test_is_named_in_a_file_with_fields_of_its_own():
    run = tiny_run(optimizer={"name": "adamw", "lr": 1e-3, "beta2": 0.95, "warmup_epochs": 0.5})
    assert run.optimizer == adamw.Config(lr=1e-3, beta2=0.95, warmup_epochs=0.5)
    with pytest.raises(ConfigError, match=r"run\.optimizer\.momentum = 0\.9: unknown key"):
        tiny_run(optimizer={"name": "adamw", "momentum": 0.9})
