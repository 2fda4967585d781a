import torch
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import grayscale
from tests.augment.ops.inputs import batch, uniforms


def test_grayscale_equals_torchvision():
    source = batch(50)
    params = grayscale.sample(grayscale.Config(p=0.5), (32, 32), uniforms(50, 1))
    ours = grayscale.apply(source, params).images
    assert 0 < params["gray"].sum() < 50
    for mine, image, gray in zip(ours, source.images, params["gray"], strict=True):
        expected = reference.rgb_to_grayscale(image, num_output_channels=3) if gray else image
        assert (mine - expected).abs().max() < 1e-6


def test_grayscale_has_its_probability():
    drawn = grayscale.sample(grayscale.Config(), (8, 8), uniforms(100_000, 1))["gray"]
    assert stats.binomtest(int(drawn.sum()), 100_000, 0.2).pvalue > 1e-4


def test_grayscale_strength_scales_its_probability_up_to_certainty():
    assert grayscale.scaled(grayscale.Config(p=0.2), 2.0).p == 0.4
    assert grayscale.scaled(grayscale.Config(p=0.6), 2.0).p == 1.0
    assert grayscale.scaled(grayscale.Config(p=0.6), 0.0).p == 0.0


def test_grayscale_target_says_whether_the_views_agree():
    first, second = torch.tensor([True, True]), torch.tensor([True, False])
    target = grayscale.compare({"grayscale": {"gray": first}}, {"grayscale": {"gray": second}})
    assert target.kind == "binary"
    assert target.values.tolist() == [[1.0], [0.0]]
