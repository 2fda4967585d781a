import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from augment.ops import solarize
from augment.views import Batch
from tests.augment.ops.inputs import batch, images, uniforms


def test_solarize_equals_torchvision():
    source, threshold = batch(100), torch.linspace(0, 0.99, 100)
    ours = solarize.apply(source, {"threshold": threshold}).images
    for mine, image, value in zip(ours, source.images, threshold.tolist(), strict=True):
        assert torch.equal(mine, reference.solarize(image, value))


def test_solarize_at_threshold_1_leaves_even_white_alone():
    source = images(10)
    assert torch.equal(solarize.apply(Batch(source), {"threshold": torch.ones(10)}).images, source)


def test_solarize_draws_its_probability_and_range():
    config = solarize.Config(threshold=(0.25, 0.75), p=0.4)
    threshold = solarize.sample(config, (8, 8), uniforms(100_000, 2))["threshold"]
    assert stats.binomtest(int((threshold < 1).sum()), 100_000, 0.4).pvalue > 1e-4
    assert stats.kstest(threshold[threshold < 1].double().numpy(), "uniform", (0.25, 0.5)).pvalue > 1e-4


def test_solarize_target_has_a_column_per_value():
    first, second = torch.tensor([1.0, 0.5]), torch.tensor([0.25, 1.0])
    target = solarize.compare({"solarize": {"threshold": first}}, {"solarize": {"threshold": second}})
    assert target.kind == "regression"
    assert target.values.tolist() == [[0.75], [-0.5]]


def test_solarize_config_out_of_bounds_is_refused():
    with pytest.raises(ValidationError, match=r"0 <= low <= high <= 1 must hold, got \[0.5, 1.5\]"):
        solarize.Config(threshold=(0.5, 1.5))
