import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage

from augment import inpainting, separation
from augment.borrowing import OWN, UNKNOWN
from tests.augment.banks import blobs, noise

SIDE, COUNT = 16, 40
ANY = (1e-6, 1.0)


def spoilt(masks, **settings):
    return separation.foregrounds(masks, separation.Config(area=ANY, **settings), 3, torch.arange(len(masks)))


def test_masks_are_soft_unless_wished_hard():
    masks = blobs(COUNT)
    assert torch.equal(spoilt(masks), masks)
    hard = spoilt(masks, hardness="hard")
    assert set(hard.unique().tolist()) == {0, 255}
    assert torch.equal(hard == 255, masks > 127)


@pytest.mark.parametrize(("noise", "reference"), [("dilate", ndimage.grey_dilation), ("erode", ndimage.grey_erosion)])
def test_masks_grow_and_shrink_as_scipys(noise, reference):
    masks = blobs(COUNT)
    changed = spoilt(masks, noise=noise, noise_amount=0.1)  # 1.6 pixels, so 2
    mode = {"mode": "constant", "cval": 0 if noise == "dilate" else 255}
    for mask, got in zip(masks[:, 0].numpy(), changed[:, 0].numpy(), strict=True):
        np.testing.assert_array_equal(got, reference(mask, size=(5, 5), **mode))


def test_masks_shift_each_way():
    masks = blobs(COUNT)
    changed = spoilt(masks, noise="shift", noise_amount=0.2)  # 3.2 pixels, so 3
    ways = set()
    for mask, got in zip(masks[:, 0].numpy(), changed[:, 0].numpy(), strict=True):
        shifts = [(-3, 0), (3, 0), (0, -3), (0, 3)]
        equal = [way for way in shifts if np.array_equal(got, ndimage.shift(mask, way, order=0))]
        assert len(equal) == 1
        ways.add(equal[0])
    assert len(ways) == 4


def test_shuffled_masks_come_from_other_images():
    masks = blobs(400)
    changed = spoilt(masks, noise="shuffle", noise_amount=0.25)
    moved = (changed != masks).flatten(1).any(1)
    assert 0.15 < moved.float().mean() < 0.35
    assert torch.equal(changed.flatten(1).unique(dim=0), masks.flatten(1).unique(dim=0))  # none is lost
    assert (spoilt(masks, noise="shuffle", noise_amount=1.0) != masks).flatten(1).any(1).all()


@pytest.mark.parametrize("noise", ["dilate", "erode", "shift", "shuffle"])
def test_noise_of_amount_0_is_none_and_is_drawn_by_the_seed(noise):
    masks = blobs(COUNT)
    assert torch.equal(spoilt(masks, noise=noise, noise_amount=0.0), masks)
    config = separation.Config(area=ANY, noise=noise, noise_amount=0.2)
    one, again, other = (separation.foregrounds(masks, config, seed, torch.arange(COUNT)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (noise in ("dilate", "erode"))  # these draw nothing


def test_masks_out_of_area_are_not_believed():
    masks = torch.zeros(4, 1, 10, 10, dtype=torch.uint8)
    masks[1].view(-1)[:10], masks[2].view(-1)[:50], masks[3].view(-1)[:51] = 255, 255, 255
    kept = separation.foregrounds(masks, separation.Config(area=(0.1, 0.5)), 0, torch.arange(4))
    assert kept.flatten(1).any(1).tolist() == [False, True, True, False]
    assert torch.equal(kept[1:3], masks[1:3])


def test_area_is_measured_after_the_noise():
    masks = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    masks[..., 4, 4] = 255
    config = separation.Config(area=(0.05, 0.9), noise="dilate", noise_amount=0.1)
    assert separation.foregrounds(masks, config, 0, torch.arange(1)).any()
    assert not separation.foregrounds(masks, separation.Config(area=(0.05, 0.9)), 0, torch.arange(1)).any()


@pytest.mark.parametrize(("name", "fill"), [("tile", inpainting.tiled), ("diffuse", inpainting.diffused)])
def test_bank_lists_who_can_lend(monkeypatch, name, fill):
    monkeypatch.setattr(separation, "_CHUNK", 3 * SIDE * SIDE * 7)  # so that there is more than one chunk
    images, masks = noise(COUNT), blobs(COUNT)
    masks[[0, 5, 39]] = 0
    backgrounds = separation.completed(images, masks, separation.Config(holes=name))
    bank = separation.bank(images, masks, backgrounds, area=ANY, rows=torch.arange(COUNT), count=COUNT)
    lenders = [row for row in range(COUNT) if row not in (0, 5, 39)]
    assert bank.donors.tolist() == lenders
    assert bank.places[lenders].tolist() == list(range(37))
    assert bank.places[[0, 5, 39]].tolist() == [0, 4, 0]  # where they would be
    assert torch.equal(bank.backgrounds, fill(images, masks))
    assert bank.images.data_ptr() == images.data_ptr()


def test_bank_may_be_a_sample_of_the_data_set():
    masks = blobs(4)
    masks[2] = 0
    bank = separation.bank(noise(4), masks, noise(4), area=ANY, rows=torch.tensor([2, 3, 5, 8]), count=10)
    assert bank.donors.tolist() == [0, 1, 3]  # of rows 2, 3 and 8
    assert bank.places.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2, 0]


def test_noise_is_drawn_by_the_row():
    masks, rows = blobs(COUNT), torch.tensor([31, 4, 12])
    config = separation.Config(area=ANY, noise="shift", noise_amount=0.2)
    whole = separation.foregrounds(masks, config, 3, torch.arange(COUNT))
    assert torch.equal(separation.foregrounds(masks[rows], config, 3, rows), whole[rows])


def test_lenders_are_the_images_themselves_where_their_masks_are_usable():
    masks = blobs(3)
    masks[1] = 0
    assert separation.lenders(masks).tolist() == [OWN, UNKNOWN, OWN]


def test_bank_of_too_few_is_refused():
    masks = blobs(COUNT)
    masks[2:] = 0
    images, area = noise(COUNT), separation.Config().area
    with pytest.raises(ValueError, match=r"at least 3 images must have a mask .* in \[0.01, 0.9\], got 2 of 40: widen"):
        separation.bank(images, masks, images, area=area, rows=torch.arange(COUNT), count=COUNT)


@pytest.mark.parametrize("area", [(0.0, 0.5), (0.5, 1.1), (0.6, 0.5)])
def test_impossible_areas_are_refused(area):
    with pytest.raises(ValidationError, match="must hold"):
        separation.Config(area=area)
