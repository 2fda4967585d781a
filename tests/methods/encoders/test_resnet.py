import pytest
import torch
from pydantic import ValidationError
from torchvision import models

from methods.encoders import resnet


def randomised(encoder: torch.nn.Module) -> torch.nn.Module:
    """Every parameter and buffer off its initial value, so that no residual branch is silently zero."""
    state = encoder.state_dict()
    for i, (name, value) in enumerate(state.items()):
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * 12.9898 + i).reshape(value.shape)
        if not name.endswith("num_batches_tracked"):
            state[name] = (wave * 0.05 + (1.0 if value.ndim == 1 else 0.0)).to(value.dtype)
    encoder.load_state_dict(state)
    return encoder


def images(batch: int, size: int) -> torch.Tensor:
    return torch.sin(torch.arange(batch * 3 * size * size, dtype=torch.float32) * 0.37).reshape(batch, 3, size, size)


@pytest.mark.parametrize(("depth", "train"), [(18, True), (18, False), (34, False), (50, True)])
def test_imagenet_stem_is_torchvisions(depth, train):
    ours = randomised(resnet.build(resnet.Config(depth=depth, stem="imagenet"))).train(train)
    theirs = models.get_model(f"resnet{depth}", zero_init_residual=True).train(train)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    assert ours.num_features == theirs.fc.in_features
    theirs.fc = torch.nn.Identity()
    x = images(2, 64)
    assert torch.equal(ours(x), theirs(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_cifar_stem_is_torchvisions_after_the_usual_surgery():
    ours = randomised(resnet.build(resnet.Config(stem="cifar")))
    theirs = models.resnet18()
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    theirs.maxpool = theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = images(2, 32)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("config", "num_features"),
    [
        (resnet.Config(depth=8), 64),
        (resnet.Config(depth=8, stem="strided", width=2), 128),
        (resnet.Config(depth=8, stem="imagenet", width=0.125), 8),
        (resnet.Config(depth=18, width=0.25), 128),
        (resnet.Config(depth=50, width=0.125), 256),
    ],
)
def test_width_and_stem_give_the_announced_features(config, num_features):
    encoder = resnet.build(config)
    assert encoder.num_features == num_features
    assert encoder(images(2, 32)).shape == (2, num_features)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 8), ("strided", 4), ("imagenet", 2)])
def test_stem_sets_the_side_of_the_last_map(stem, side):
    encoder = resnet.build(resnet.Config(depth=8, stem=stem))
    sides = []
    encoder.avgpool.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-2:]))
    encoder(images(2, 32))
    assert sides == [(side, side)]


@pytest.mark.parametrize(("depth", "block", "number"), [(18, resnet.BasicBlock, 8), (50, resnet.Bottleneck, 16)])
def test_residual_branches_start_at_zero(depth, block, number):
    encoder = resnet.build(resnet.Config(depth=depth, width=0.125))
    blocks = [module for module in encoder.modules() if isinstance(module, block)]
    assert len(blocks) == number
    last = [module.bn3 if block is resnet.Bottleneck else module.bn2 for module in blocks]
    assert not any(norm.weight.any() for norm in last)


def test_channels_last_changes_only_the_layout():
    encoder = randomised(resnet.build(resnet.Config(depth=8))).eval()
    x = images(4, 16)
    expected = encoder(x)
    got = encoder.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected)


def test_autocast_leaves_norms_in_float32():
    encoder = resnet.build(resnet.Config(depth=8))
    with torch.autocast("cpu", torch.bfloat16):
        encoder(images(4, 16))
    assert {m.running_mean.dtype for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {torch.float32}


@pytest.mark.parametrize("fields", [{"width": 0.0}, {"depth": 9}, {"depth": "18"}, {"stem": "vit"}, {"layers": 3}])
def test_config_refuses_what_cannot_be_built(fields):
    with pytest.raises(ValidationError):
        resnet.Config(**fields)


def test_narrow_shortcuts_are_strided_convolutions_computed_without_the_pixels_they_skip():
    block = resnet.build(resnet.Config(depth=8, width=0.25)).get_submodule("layer2.0.downsample.0").double()
    maps, weights = torch.rand(2, 4, 7, 8, dtype=torch.float64, requires_grad=True), [*block.parameters()]
    found = block(maps)
    expected = torch.einsum("bchw,oc->bohw", maps[:, :, ::2, ::2], weights[0][:, :, 0, 0])
    torch.testing.assert_close(found, expected)
    toward = torch.rand_like(found)
    given = torch.autograd.grad(found, [maps, *weights], toward)
    for ours, oracle in zip(given, torch.autograd.grad(expected, [maps, *weights], toward), strict=True):
        torch.testing.assert_close(ours, oracle)
