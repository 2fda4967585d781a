import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.data.images import ImageSet
from orchestrator.probing.features import (
    CHUNK,
    encoder_features,
    labels_of,
    normalised,
    pixel_features,
    standard_error,
    unit,
)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Counting(nn.Module):
    """The mean of each channel, scaled; counts the images that it sees, and refuses to see any in train mode."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = 0

    def forward(self, images):
        assert not self.training
        self.seen += len(images)
        return self.scale * images.mean(dim=(2, 3))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def test_normalised_is_the_textbook_formula():
    raw = images(2)
    expected = (raw.astype(np.float64) / 255 - MEAN) / STD
    found = normalised(torch.from_numpy(raw), MEAN, STD)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_encoder_features_are_chunked_remembered_without_gradient_and_leave_the_mode():
    encoder = Counting().train()
    encode = encoder_features(encoder, MEAN, STD)
    raw = images(CHUNK + 3)
    first = encode(raw)
    assert encode(raw) is first
    assert encoder.seen == CHUNK + 3
    assert encoder.training
    assert not first.requires_grad
    expected = ((raw.astype(np.float64) / 255).mean(axis=(1, 2)) - MEAN) / STD
    np.testing.assert_allclose(first.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_encoder_features_of_equal_shapes_are_not_confused():
    encode = encoder_features(Counting(), MEAN, STD)
    # Each array may be freed after its call: its identity must not be taken over by the next.
    sums = [float(encode(images(3) * 0 + value).sum()) for value in (0, 50, 100, 150)]
    assert len(set(sums)) == 4


def test_pixel_features_are_the_normalised_pixels():
    raw = images(3)
    expected = normalised(torch.from_numpy(raw), MEAN, STD).flatten(1)
    assert torch.equal(pixel_features(MEAN, STD)(raw), expected)


def test_unit_features_have_length_one():
    assert unit(torch.tensor([[3.0, 4.0]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_standard_error_is_binomial_in_points():
    assert standard_error(0.5, 2500) == pytest.approx(1.0)
    assert standard_error(1.0, 10) == 0


def test_missing_labels_name_the_remedy():
    with pytest.raises(ValueError, match="use view_retrieval"):
        labels_of(ImageSet(images(1)))
