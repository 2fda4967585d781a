import math

import pytest
import torch
from scipy import stats
from torch import nn

from methods import byol, simclr
from methods.encoders import resnet
from methods.parts.initial import initialise

CONFIG = resnet.Config(depth=8)


def test_weights_depend_on_seed_and_name_only():
    a, b, c = (byol.Method(byol.Config(), resnet.build(CONFIG)) for _ in range(3))
    torch.nn.Linear(3, 3)  # moves torch's own generator, which must not matter
    initialise(a, 7)
    initialise(b, 7)
    initialise(c, 8)
    for (name, x), y, z in zip(a.state_dict().items(), b.state_dict().values(), c.state_dict().values(), strict=True):
        assert torch.equal(x, y)
        drawn = x.ndim > 1 or name.endswith(".0.bias")  # the rest are the constants of norms
        assert torch.equal(x, z) != drawn, name


def test_another_method_around_the_encoder_does_not_change_its_weights():
    a = byol.Method(byol.Config(), resnet.build(CONFIG))
    b = simclr.Method(simclr.Config(), resnet.build(CONFIG))
    initialise(a, 7)
    initialise(b, 7)
    assert all(torch.equal(x, y) for x, y in zip(a.encoder.parameters(), b.encoder.parameters(), strict=True))


def test_no_two_layers_share_their_draws():
    method = byol.Method(byol.Config(hidden=64, outputs=64), resnet.build(CONFIG))
    initialise(method, 0)
    square = [p for p in (method.projector[0].weight, method.projector[3].weight, method.predictor[0].weight)]
    assert not torch.equal(square[0], square[1])
    assert not torch.equal(square[1], square[2])


def test_convolutions_are_normal_with_fan_out_variance():
    encoder = resnet.build(CONFIG)
    initialise(encoder, 0)
    weight = encoder.layer3[0].conv1.weight.detach()  # 32 channels to 64
    expected = nn.init.kaiming_normal_(torch.empty_like(weight), mode="fan_out", nonlinearity="relu").std()
    assert math.isclose(weight.std(), expected, rel_tol=0.03)
    assert stats.kstest(weight.flatten(), stats.norm(0, math.sqrt(2 / (64 * 9))).cdf).pvalue > 0.01


def test_linear_layers_are_uniform_within_torchs_bound():
    method = simclr.Method(simclr.Config(), resnet.build(CONFIG))
    initialise(method, 0)
    bound = 1 / math.sqrt(64)
    for values in (method.projector[0].weight, method.projector[0].bias):
        assert stats.kstest(values.detach().flatten(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


def test_norms_keep_their_constants_and_twin_is_a_copy():
    method = byol.Method(byol.Config(), resnet.build(CONFIG))
    initialise(method, 3)
    assert not method.encoder.layer1[0].bn2.weight.any()
    assert method.encoder.bn1.weight.eq(1).all()
    online = [*method.encoder.parameters(), *method.projector.parameters()]
    assert all(torch.equal(x, y) for x, y in zip(method.twin.parameters(), online, strict=True))


@pytest.mark.parametrize("layer", [nn.PReLU(), nn.Conv2d(3, 3, 1), nn.Conv1d(3, 3, 1)])
def test_layer_that_nobody_draws_is_refused(layer):
    with pytest.raises(ValueError, match=r"got 0\.\w+ of \w+; build it of these"):
        initialise(nn.Sequential(layer), 0)
