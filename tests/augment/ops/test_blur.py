import pytest
import torch
from PIL import Image, ImageFilter
from pydantic import ValidationError
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import blur
from augment.views import Batch
from tests.augment.ops.inputs import batch, images, uniforms


@pytest.mark.parametrize(("shape", "sigma"), [((32, 32), (0.1, 2.0)), ((64, 48), (0.5, 3.0)), ((5, 6), (0.1, 2.0))])
def test_blur_equals_torchvision_at_the_same_kernel_size(shape, sigma):
    source = batch(100, *shape)
    params = blur.sample(blur.Config(sigma=sigma), shape, uniforms(100, blur.SLOTS))
    ours = blur.apply(source, params).images
    taps = params["kernel"].shape[1]
    assert 0 < (params["sigma"] > 0).sum() < 100
    for mine, image, value in zip(ours, source.images, params["sigma"].tolist(), strict=True):
        expected = reference.gaussian_blur(image, [taps, taps], [value, value]) if value else image
        assert (mine - expected).abs().max() < 1e-5


def test_blur_kernel_reaches_three_sigmas_but_not_beyond_the_reflection():
    def taps(config, shape):
        return blur.sample(config, shape, uniforms(1, 2))["kernel"].shape[1]

    assert taps(blur.Config(), (32, 32)) == 13
    assert taps(blur.Config(sigma=(0.1, 1.0)), (32, 32)) == 7
    assert taps(blur.Config(), (32, 5)) == 9


def test_blur_is_near_pils_which_the_papers_use():
    """PIL stacks box filters, rounds to 8 bits and repeats edges: so compare the inside of a noise image, loosely."""
    image = images(6, 64, 64)[5:]
    pil = Image.fromarray((image[0].permute(1, 2, 0) * 255).round().byte().numpy())
    for sigma in (1.0, 2.0):
        config = blur.Config(sigma=(sigma, sigma), p=1.0)
        ours = blur.apply(Batch(image), blur.sample(config, (64, 64), uniforms(1, 2))).images[0]
        theirs = (
            torch.tensor(list(pil.filter(ImageFilter.GaussianBlur(sigma)).tobytes())).view(64, 64, 3).permute(2, 0, 1)
        )
        assert (ours - theirs / 255)[:, 8:-8, 8:-8].abs().max() < 0.03


def test_blur_draws_its_probability_and_range():
    sigma = blur.sample(blur.Config(), (32, 32), uniforms(100_000, 2))["sigma"]
    assert stats.binomtest(int((sigma > 0).sum()), 100_000, 0.5).pvalue > 1e-4
    assert stats.kstest(sigma[sigma > 0].double().numpy(), "uniform", (0.1, 1.9)).pvalue > 1e-4


def test_blur_target_is_the_difference_as_a_share_of_the_largest_sigma():
    drawn = [blur.sample(blur.Config(sigma=(0.5, 4.0)), (32, 32), uniforms(200, 2, seed)) for seed in (0, 1)]
    target = blur.compare({"blur": drawn[0]}, {"blur": drawn[1]})
    assert target.kind == "regression"
    assert torch.allclose(target.values, ((drawn[0]["sigma"] - drawn[1]["sigma"]) / 4)[:, None])
    assert target.values.abs().max() > 0.9


def test_blur_config_out_of_bounds_is_refused():
    with pytest.raises(ValidationError, match=r"0 < low <= high must hold, got \[0.0, 2.0\]"):
        blur.Config(sigma=(0.0, 2.0))
