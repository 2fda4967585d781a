import itertools

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import color_jitter
from augment.views import Batch
from tests.augment.ops.inputs import batch, images, uniforms

ADJUSTMENTS = {
    color_jitter.BRIGHTNESS: (reference.adjust_brightness, "brightness"),
    color_jitter.CONTRAST: (reference.adjust_contrast, "contrast"),
    color_jitter.SATURATION: (reference.adjust_saturation, "saturation"),
    color_jitter.HUE: (reference.adjust_hue, "hue"),
}


def by_torchvision(image, params, i):
    for adjustment in params["order"][i].tolist():
        adjust, name = ADJUSTMENTS[adjustment]
        image = adjust(image, params[name][i].item())
    return image


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.5, 5.0])
def test_color_jitter_equals_torchvision(strength):
    config = color_jitter.scaled(color_jitter.Config(), strength)
    source = batch(300)
    params = color_jitter.sample(config, (32, 32), uniforms(300, color_jitter.SLOTS))
    ours = color_jitter.apply(source, params)
    assert ours.masks is source.masks
    for i in range(300):
        assert (ours.images[i] - by_torchvision(source.images[i], params, i)).abs().max() < 1 / 255


def test_color_jitter_equals_torchvision_in_each_order():
    orders = torch.tensor(list(itertools.permutations(range(4))))
    source = images(24, 16, 24)
    constant = torch.ones(24)
    params = {
        "brightness": 1.6 * constant,
        "contrast": 0.5 * constant,
        "saturation": 1.9 * constant,
        "hue": -0.3 * constant,
    }
    ours = color_jitter.apply(Batch(source), params | {"order": orders}).images
    assert len({tuple(image.flatten().tolist()) for image in ours[5:]}) == 19  # the order matters here
    for i in range(24):
        assert (ours[i] - by_torchvision(source[i], params | {"order": orders}, i)).abs().max() < 1e-4


def test_color_jitter_draws_torchvisions_distribution():
    config = color_jitter.Config(brightness=0.4, contrast=1.6, saturation=0.2, hue=0.1, p=1.0)
    params = color_jitter.sample(config, (32, 32), uniforms(100_000, color_jitter.SLOTS))
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.0, 2.6),
        ("saturation", 0.8, 1.2),
        ("hue", -0.1, 0.1),
    ):
        assert stats.kstest(params[name].double().numpy(), "uniform", (low, high - low)).pvalue > 1e-4
    code = (params["order"] * torch.tensor([64, 16, 4, 1])).sum(1)
    _, counts = code.unique(return_counts=True)
    assert counts.shape == (24,)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_color_jitter_is_applied_with_its_probability_or_is_the_identity():
    params = color_jitter.sample(color_jitter.Config(p=0.8), (32, 32), uniforms(100_000, color_jitter.SLOTS))
    left_alone = params["brightness"] == 1
    assert stats.binomtest(int(left_alone.sum()), 100_000, 0.2).pvalue > 1e-4
    for name, identity in (("contrast", 1), ("saturation", 1), ("hue", 0)):
        assert (params[name][left_alone] == identity).all()
    assert (params["intensity"][left_alone] == 0).all()


def test_color_jitter_intensity_is_the_share_of_the_range():
    params = color_jitter.sample(color_jitter.Config(), (32, 32), uniforms(1000, color_jitter.SLOTS))
    for column, (name, identity, width) in enumerate(
        (("brightness", 1, 0.8), ("contrast", 1, 0.8), ("saturation", 1, 0.8), ("hue", 0, 0.2))
    ):
        assert torch.allclose(params["intensity"][:, column], (params[name] - identity) / width, atol=1e-6)
    assert params["intensity"].abs().max() > 0.49
    other = color_jitter.sample(color_jitter.Config(), (32, 32), uniforms(1000, color_jitter.SLOTS, seed=1))
    target = color_jitter.compare({"color_jitter": params}, {"color_jitter": other})
    assert target.kind == "regression"
    assert torch.equal(target.values, params["intensity"] - other["intensity"])


def test_color_jitter_with_an_empty_range_has_intensity_0():
    config = color_jitter.scaled(color_jitter.Config(), 0.0)
    params = color_jitter.sample(config, (32, 32), uniforms(10, color_jitter.SLOTS))
    assert (params["intensity"] == 0).all()


def test_color_jitter_strength_scales_ranges_within_legal_values():
    config = color_jitter.scaled(color_jitter.Config(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.4, p=0.7), 2.0)
    assert config == color_jitter.Config(brightness=0.8, contrast=0.6, saturation=0.4, hue=0.5, p=0.7)


def test_color_jitter_config_out_of_bounds_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to"):
        color_jitter.Config(hue=0.6)
