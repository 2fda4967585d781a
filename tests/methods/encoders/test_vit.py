import math

import pytest
import torch
from pydantic import ValidationError

from augment import draws
from methods.encoders import vit
from methods.parts.initial import init_weights
from tests.methods.encoders.test_resnet import randomised

timm = pytest.importorskip("timm")


def images(height: int, width: int | None = None) -> torch.Tensor:
    return draws.normal(0, "images", (2, 3, height, width or height))


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (vit.Config(patch=8), {}),
        (vit.Config(patch=8, pool="mean"), {"global_pool": "avg", "class_token": False}),
        (vit.Config(variant="small", patch=16, image_size=48), {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value.variant,
)
def test_features_are_timms_at_every_size(config, pooling):
    ours = randomised(vit.build(config))
    theirs = timm.create_model(
        f"vit_{config.variant}_patch16_224",
        img_size=config.image_size,
        patch_size=config.patch,
        num_classes=0,
        dynamic_img_size=True,
        **pooling,
    )
    theirs.load_state_dict(ours.state_dict())
    for x in (images(config.image_size), images(2 * config.image_size), images(16), images(32, 48)):
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)
    assert ours.num_features == theirs.num_features


def test_interpolated_positions_are_learnt_like_the_others():
    encoder = randomised(vit.build(vit.Config(patch=8)))
    encoder(images(16)).sum().backward()
    assert encoder.pos_embed.grad.abs().amax(2).gt(0).all()


@pytest.mark.parametrize(("pool", "moved"), [("token", False), ("mean", True)])
def test_pooling_says_which_tokens_are_read(pool, moved):
    encoder = randomised(vit.build(vit.Config(patch=8, pool=pool)))
    tokens = []
    encoder.blocks.register_forward_hook(lambda _, inputs, output: tokens.append(output))
    before = encoder(images(32))
    encoder.blocks.register_forward_hook(lambda _, inputs, output: output + torch.eye(192)[0] * patches(output))

    def patches(output: torch.Tensor) -> torch.Tensor:
        """1 for patches, 0 for the class token."""
        return torch.ones(output.shape[1], 1).index_fill(0, torch.arange(output.shape[1] - 16), 0)

    assert tokens[0].shape[1] == 16 + (pool == "token")
    assert torch.equal(encoder(images(32)), before) != moved


def test_image_that_does_not_fit_the_patches_is_refused():
    with pytest.raises(ValueError, match=r"multiples of patch, got 32 x 36 with patch=8"):
        vit.build(vit.Config(patch=8))(images(32, 36))


@pytest.mark.parametrize("fields", [{"image_size": 30}, {"patch": 0}, {"variant": "base"}, {"pool": "max"}])
def test_config_refuses_what_cannot_be_built(fields):
    with pytest.raises(ValidationError):
        vit.Config(**fields)


def test_features_of_a_fresh_transformer_keep_their_scale():
    encoder = vit.build(vit.Config(patch=8))
    init_weights(encoder, 0)
    features = encoder(draws.normal(0, "images", (32, 3, 32, 32))).detach()
    assert math.isclose(features.std(), 1, rel_tol=0.05)  # the last norm's
    assert features.std(0).mean() > 0.05  # and images differ: a class token alone would give one vector for all
