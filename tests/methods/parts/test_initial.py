import math

import pytest
import torch
from scipy import stats
from torch import nn

from methods import byol, simclr
from methods.encoders import resnet
from methods.parts.initial import init_weights

CONFIG = resnet.Config(depth=8)


def test_weights_depend_on_seed_and_name_only():
    a, b, c = (byol.Method(byol.Config(), resnet.build(CONFIG)) for _ in range(3))
    torch.nn.Linear(3, 3)  # moves torch's own generator, which must not matter
    init_weights(a, 7)
    init_weights(b, 7)
    init_weights(c, 8)
    for (name, x), y, z in zip(a.state_dict().items(), b.state_dict().values(), c.state_dict().values(), strict=True):
        assert torch.equal(x, y)
        drawn = x.ndim > 1 or name.endswith(".0.bias")  # the rest are the constants of norms
        assert torch.equal(x, z) != drawn, name


def test_another_method_around_the_encoder_does_not_change_its_weights():
    a = byol.Method(byol.Config(), resnet.build(CONFIG))
    b = simclr.Method(simclr.Config(), resnet.build(CONFIG))
    init_weights(a, 7)
    init_weights(b, 7)
    assert all(torch.equal(x, y) for x, y in zip(a.encoder.parameters(), b.encoder.parameters(), strict=True))


def test_no_two_layers_share_their_draws():
    method = byol.Method(byol.Config(hidden=64, outputs=64), resnet.build(CONFIG))
    init_weights(method, 0)
    square = [p for p in (method.projector[0].weight, method.projector[3].weight, method.predictor[0].weight)]
    assert not torch.equal(square[0], square[1])
    assert not torch.equal(square[1], square[2])


def test_convolutions_are_normal_with_fan_out_variance():
    encoder = resnet.build(CONFIG)
    init_weights(encoder, 0)
    weight = encoder.layer3[0].conv1.weight.detach()  # 32 channels to 64
    expected = nn.init.kaiming_normal_(torch.empty_like(weight), mode="fan_out", nonlinearity="relu").std()
    assert math.isclose(weight.std(), expected, rel_tol=0.03)
    assert stats.kstest(weight.flatten(), stats.norm(0, math.sqrt(2 / (64 * 9))).cdf).pvalue > 0.01


def test_linear_layers_are_uniform_within_torchs_bound():
    method = simclr.Method(simclr.Config(), resnet.build(CONFIG))
    init_weights(method, 0)
    bound = 1 / math.sqrt(64)
    for values in (method.projector[0].weight, method.projector[0].bias):
        assert stats.kstest(values.detach().flatten(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


def test_norms_keep_their_constants_and_twin_is_a_copy():
    method = byol.Method(byol.Config(), resnet.build(CONFIG))
    init_weights(method, 3)
    assert not method.encoder.layer1[0].bn2.weight.any()
    assert method.encoder.bn1.weight.eq(1).all()
    online = [*method.encoder.parameters(), *method.projector.parameters()]
    assert all(torch.equal(x, y) for x, y in zip(method.twin.parameters(), online, strict=True))


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 256, 4), nn.Conv2d(32, 256, 4, groups=4), nn.Conv1d(128, 256, 1)])
def test_convolutions_with_bias_are_uniform_within_torchs_bound(layer):
    built_limit = layer.weight.detach().abs().max()  # torch's own default, 32768 draws of it
    nn.init.normal_(layer.weight)
    init_weights(layer, 0)
    bound = 1 / math.sqrt(128)
    assert math.isclose(built_limit, bound, rel_tol=1e-3)
    for values in (layer.weight, layer.bias):
        assert stats.kstest(values.detach().flatten(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


@pytest.mark.parametrize("name", ["cls_token", "pos_embed", "relative_position_bias_table", "rel_pos_h", "pos_embed_0"])
def test_tokens_and_positions_are_small_normals(name):
    layer = nn.Module()
    layer.register_parameter(name, nn.Parameter(torch.full((1, 50, 40), torch.nan)))
    init_weights(layer, 0)
    assert stats.kstest(layer.get_parameter(name).detach().flatten(), stats.norm(0, 0.02).cdf).pvalue > 0.01


def test_embeddings_are_small_normals():
    layer = nn.Embedding(50, 40)
    init_weights(layer, 0)
    assert stats.kstest(layer.weight.detach().flatten(), stats.norm(0, 0.02).cdf).pvalue > 0.01


def test_what_was_built_constant_stays():
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.bias)
    layer.gamma = nn.Parameter(torch.full((4,), 1e-5))
    layer.scale = nn.Parameter(torch.tensor(1.0))
    before = layer.weight.detach().clone()
    init_weights(layer, 0)
    assert not layer.bias.any()
    assert layer.gamma.eq(1e-5).all()
    assert layer.scale == 1
    assert not torch.equal(layer.weight, before)


def test_single_numbers_are_drawn_too():
    one, other = nn.Linear(3, 1), nn.Linear(3, 1)
    init_weights(one, 0)
    init_weights(other, 0)
    assert one.bias == other.bias != 0


@pytest.mark.parametrize("layer", [nn.PReLU(), nn.Bilinear(3, 3, 3), nn.GRUCell(3, 3)])
def test_layer_that_nobody_draws_is_refused(layer):
    with pytest.raises(ValueError, match=r"got 0\.\w+ of \w+; build it of these"):
        init_weights(nn.Sequential(layer), 0)
