import math

import pytest
import torch
from torch import nn

from methods.parts.momentum_encoder import MomentumEncoder, cosine_rate
from tests.methods import small


def online() -> tuple[nn.Module, nn.Module]:
    method = small.simclr_method()
    return method.encoder, method.projector


def test_twin_takes_no_gradient_and_hides_the_online_parameters():
    networks = online()
    twin = MomentumEncoder(*networks)
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert len(list(twin.parameters())) == sum(len(list(network.parameters())) for network in networks)
    features, projection = twin(torch.ones(2, 3, 8, 8, dtype=torch.float64))
    assert not features.requires_grad
    assert not projection.requires_grad


def test_follow_is_the_moving_average_of_parameters_only():
    networks = online()
    twin = MomentumEncoder(*networks)
    for network in networks:
        for tensor in network.state_dict().values():
            tensor += 1
    before = {name: tensor.clone() for name, tensor in twin.networks.state_dict().items()}
    twin.update(small.at(0.25))
    now = nn.Sequential(*networks).state_dict()
    for name, tensor in twin.networks.state_dict().items():
        buffer = "running" in name or "num_batches" in name
        expected = before[name] if buffer else 0.75 * before[name] + 0.25 * now[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-14, atol=1e-14)


def test_follow_at_rate_zero_changes_no_bit():
    networks = online()
    twin = MomentumEncoder(*networks)
    before = [parameter.clone() for parameter in twin.parameters()]
    for network in networks:
        for parameter in network.parameters():
            parameter.data.mul_(1.7)
    twin.update(cosine_rate(small.at(1.0), 0.99))
    assert all(torch.equal(x, y) for x, y in zip(before, twin.parameters(), strict=True))


def test_reset_makes_an_exact_copy_in_place():
    encoder, projector = online()
    twin = MomentumEncoder(encoder, projector)
    places = [parameter.data_ptr() for parameter in twin.parameters()]
    for parameter in encoder.parameters():
        parameter.data.mul_(1.7)
    twin.reset()
    assert all(torch.equal(x, y) for x, y in zip(twin.networks[0].parameters(), encoder.parameters(), strict=True))
    assert places == [parameter.data_ptr() for parameter in twin.parameters()]


def test_batch_norm_of_the_twin_counts_its_own_batches():
    encoder, projector = online()
    twin = MomentumEncoder(encoder, projector)
    twin(torch.ones(2, 3, 8, 8, dtype=torch.float64))
    assert twin.networks[0].bn1.num_batches_tracked == 1
    assert encoder.bn1.num_batches_tracked == 0


@pytest.mark.parametrize(("progress", "rate"), [(0, 0.01), (0.25, 0.0085355339059327), (0.5, 0.005), (1, 0)])
def test_rate_falls_along_a_half_cosine(progress, rate):
    assert math.isclose(cosine_rate(small.at(float(progress)), 0.99), rate, rel_tol=1e-10)


def test_rate_keeps_its_digits_to_the_end():
    """Of 1 - momentum, taken after rounding to float32, nothing is left."""
    left = 2.0**-12  # of the budget; exact in float32
    expected = 0.01 * math.sin(math.pi / 2 * left) ** 2
    assert math.isclose(cosine_rate(torch.tensor(1 - left), 0.99), expected, rel_tol=1e-6)
    assert cosine_rate(torch.tensor(1.0), 0.99) == 0


def test_moving_after_the_step_gives_the_sequence_of_moving_before_the_forward():
    """MSR's code: k += 1, average with tau(k / K), forward, step. Ours: forward, step, average with the next tau."""
    num_steps = 7

    def momentum(k: int) -> float:
        return 1 - 0.01 * (math.cos(math.pi * k / num_steps) + 1) / 2

    def weight(step: int) -> float:  # of the online network after so many steps
        return math.sin(3 * step + 1)

    theirs, twin = [], weight(0)
    for k in range(1, num_steps + 1):
        twin = momentum(k) * twin + (1 - momentum(k)) * weight(k - 1)
        theirs.append(twin)

    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    layer.weight.data.fill_(weight(0))
    copy, ours = MomentumEncoder(layer), []
    for k in range(1, num_steps + 1):
        ours.append(copy.networks[0].weight.item())
        layer.weight.data.fill_(weight(k))
        copy.update(cosine_rate(small.at((k + 1) / num_steps).clamp(max=1), 0.99))
    assert ours == pytest.approx(theirs, rel=1e-14)
