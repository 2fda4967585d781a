import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms.v2 import functional as reference

from augment import boxes
from augment.ops import crop, flip
from augment.views import Batch
from tests.augment.ops.inputs import batch, images, uniforms


def drawn_pixels(config, shape, count, seed=0):
    """Boxes in pixels (count, 4): top, left, height, width."""
    height, width = shape
    box = crop.sample(config, shape, uniforms(count, crop.SLOTS, seed))["box"].double()
    pixels = box * torch.tensor([height, width, height, width])
    assert (pixels - pixels.round()).abs().max() < 1e-4  # corners lie on whole pixels
    return pixels.round().long()


@pytest.mark.parametrize(
    ("shape", "size", "scale"),
    [
        ((32, 32), 32, (0.01, 1.0)),  # upsampled
        ((32, 32), None, (0.2, 1.0)),
        ((48, 40), 64, (0.05, 1.0)),
        ((96, 96), 64, (0.05, 1.0)),  # boxes smaller and larger than the output
        ((40, 160), 48, (0.2, 1.0)),  # one side grows, the other shrinks
        ((96, 96), 24, (0.9, 1.0)),  # reduced fourfold
        ((64, 64), 1, (0.2, 1.0)),
    ],
)
def test_crop_equals_torchvision(shape, size, scale):
    count, out = 100, list(shape) if size is None else [size, size]
    source = batch(count, *shape)
    config = crop.Config(scale=scale)
    params = crop.sample(config, shape, uniforms(count, crop.SLOTS))
    ours = crop.apply(source, params, size)
    for i, box in enumerate(drawn_pixels(config, shape, count).tolist()):
        for mine, plane in ((ours.images[i], source.images[i]), (ours.masks[i], source.masks[i])):
            expected = reference.resized_crop(plane, *box, out, v2.InterpolationMode.BILINEAR, antialias=True)
            assert (mine - expected).abs().max() < 1 / 255


def test_crop_then_flip_equals_torchvision():
    source, count = images(100, 96, 96), 100
    params = crop.sample(crop.Config(), (96, 96), uniforms(count, crop.SLOTS))
    flipped = flip.sample(flip.Config(), (64, 64), uniforms(count, 1))
    ours = flip.apply(crop.apply(Batch(source), params, 64), flipped).images
    for i, box in enumerate(drawn_pixels(crop.Config(), (96, 96), count).tolist()):
        expected = reference.resized_crop(source[i], *box, [64, 64], v2.InterpolationMode.BILINEAR, antialias=True)
        expected = reference.horizontal_flip(expected) if flipped["flipped"][i] else expected
        assert (ours[i] - expected).abs().max() < 1 / 255


def test_crop_of_both_paths_agree_where_they_meet():
    """A source one pixel larger than the output takes the antialiased path, its crops mostly need no antialiasing."""
    source = images(50, 33, 33)
    inner = crop.apply(Batch(source[:, :, :32, :32]), {"box": torch.tensor([[0.25, 0.5, 0.5, 0.25]]).expand(50, 4)}, 32)
    box = torch.tensor([[8.0, 16.0, 16.0, 8.0]]).expand(50, 4) / 33
    assert (crop.apply(Batch(source), {"box": box}, 32).images - inner.images).abs().max() < 1e-5


def test_crop_shows_nothing_from_outside_its_box():
    source = torch.zeros(2, 3, 96, 96)
    source[:, :, 30:60, 20:70] = 1.0
    box = torch.tensor([[30, 20, 30, 50]]) / 96
    for size in (96, 24):
        assert crop.apply(Batch(source), {"box": box.expand(2, 4)}, size).images.min() > 1 - 1e-5


@pytest.mark.parametrize(
    ("shape", "config"),
    [((32, 32), crop.Config()), ((96, 64), crop.Config(scale=(0.08, 1.0))), ((40, 60), crop.Config(scale=(0.9, 1.0)))],
)
def test_crop_sampler_has_torchvisions_distribution(shape, config):
    ours = drawn_pixels(config, shape, 100_000)
    torch.manual_seed(0)
    blank = torch.empty(3, *shape)
    draw = [RandomResizedCrop.get_params(blank, list(config.scale), list(config.ratio)) for _ in range(20_000)]
    theirs = torch.tensor(draw)
    for column in range(4):
        assert stats.ks_2samp(ours[:, column].numpy(), theirs[:, column].numpy()).pvalue > 1e-4
    for mine, other in (
        (ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]),
        (ours[:, 2:].prod(1), theirs[:, 2:].prod(1)),
    ):
        assert stats.ks_2samp(mine.numpy(), other.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(20, 200), (200, 20)])
def test_crop_falls_back_to_the_largest_central_box(shape):
    ours = drawn_pixels(crop.Config(scale=(0.9, 1.0)), shape, 100)
    box = RandomResizedCrop.get_params(torch.empty(3, *shape), [0.9, 1.0], [3 / 4, 4 / 3])
    assert ours.tolist() == [list(box)] * 100


def test_crop_boxes_stay_within_their_law():
    top, left, height, width = drawn_pixels(crop.Config(scale=(0.3, 0.5)), (64, 64), 10_000).double().unbind(1)
    assert (top.min(), left.min()) == (0, 0)
    assert (top + height).max() == 64
    assert (left + width).max() == 64
    area, ratio = height * width / 64**2, width / height
    assert area.min() > 0.3 * 0.95
    assert area.max() < 0.5 * 1.05
    assert ratio.min() > 3 / 4 * 0.95
    assert ratio.max() < 4 / 3 * 1.05


def test_crop_takes_the_first_try_that_fits():
    config = crop.Config(scale=(0.5, 1.0), ratio=(0.5, 2.0))
    numbers = torch.full((1, crop.SLOTS), 0.0)
    numbers[:, : boxes.TRIES] = 0.999  # nearly the whole area
    numbers[:, boxes.TRIES : 2 * boxes.TRIES] = 0.0  # and ratio 1/2: too high
    numbers[:, 3], numbers[:, boxes.TRIES + 3] = 0.0, 0.5  # the fourth: half the area, square
    numbers[:, 7], numbers[:, boxes.TRIES + 7] = 0.5, 0.5
    box = crop.sample(config, (100, 100), numbers)["box"]
    assert torch.allclose(box, torch.tensor([[0, 0, 0.71, 0.71]]))


def views(box, flipped):
    return {"crop": {"box": torch.tensor(box)}, "flip": {"flipped": torch.tensor(flipped)}}


def test_crop_target_is_expressed_in_the_first_views_mirrored_frame():
    left, right = [[0.0, 0.0, 0.5, 0.25]] * 4, [[0.5, 0.25, 0.25, 0.75]] * 4
    first, second = views(left, [False, False, True, True]), views(right, [False, True, False, True])
    target = crop.compare(first, second)
    assert target.kind == "regression"
    # Centres (y, x): (.25, .125) and (.625, .625).
    assert target.values.tolist() == [[-0.375, x, 0.25, -0.5] for x in (-0.5, -0.5, 0.5, 0.5)]
    back = crop.compare(second, first).values
    agree = torch.tensor([True, False, False, True])
    assert torch.equal(back[:, 1] == -target.values[:, 1], agree)
    assert torch.equal(back[:, 1] == target.values[:, 1], ~agree)


def test_crop_target_without_a_flip_is_the_plain_difference():
    first, second = (
        {"crop": {"box": torch.tensor([[0.0, 0.0, 0.5, 0.5]])}},
        {"crop": {"box": torch.tensor([[0.0, 0.5, 0.5, 0.5]])}},
    )
    assert crop.compare(first, second).values.tolist() == [[0.0, -0.5, 0.0, 0.0]]


@pytest.mark.parametrize(
    "wrong", [{"scale": [0.0, 1.0]}, {"scale": [0.2, 1.5]}, {"scale": [0.9, 0.2]}, {"ratio": [0.0, 1.0]}]
)
def test_crop_config_out_of_bounds_is_refused(wrong):
    with pytest.raises(ValidationError, match="must hold, got"):
        crop.Config(**wrong)
