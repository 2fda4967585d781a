import numpy as np
import torch
from torch import nn

from orchestrator.training.optimizers import sgd
from tests.orchestrator.tiny_run import tiny_run
from tests.orchestrator.training.optimizers import built


def test_sgd_decays_every_weight_and_follows_its_definition():
    weight, bias = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([[1.0, -2.0]], [0.5]))
    optimizer = built(
        sgd.Config(lr=0.2, momentum=0.5, weight_decay=0.1), [{"params": [weight]}, {"params": [bias]}], 128
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


def test_is_the_optimizer_of_a_file_that_names_none():
    assert tiny_run(optimizer={"momentum": 0.5}).optimizer == sgd.Config(lr=0.4, momentum=0.5)
    assert list(tiny_run().dump()["optimizer"]) == ["name", "lr", "momentum", "weight_decay", "warmup_epochs"]
