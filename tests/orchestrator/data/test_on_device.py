import numpy as np
import pytest
import torch

from augment import separation
from augment.views import Batch
from orchestrator.core.errors import UserError
from orchestrator.data.foregrounds import separate
from orchestrator.data.images import ImageSet
from orchestrator.data.on_device import DeviceImages
from tests.augment.banks import blobs, noise

COUNT = 12
ROWS = torch.tensor([7, 0, 3])


def image_set(masked=True) -> ImageSet:
    masks = blobs(COUNT)[:, 0]
    masks[3] = 0
    images = noise(COUNT).permute(0, 2, 3, 1).contiguous().numpy()
    images.flags.writeable = False  # as in an object store
    return ImageSet(images, masks=masks.numpy() if masked else None)


def batch(*needs, source=None, how=None) -> Batch:
    source = source or image_set()
    how = {"needs": needs, "how": how or separation.Config(), "seed": 1}
    foregrounds = separate(source, **how, rows=torch.arange(COUNT)) if needs else None
    return DeviceImages(source, torch.device("cpu"), needs=needs, foregrounds=foregrounds, seed=1).batch(ROWS)


def test_resident_hands_out_what_is_needed_and_no_more():
    plain, masked, banked, whole = (
        batch(*needs) for needs in ((), ("masks",), ("bank",), ("masks", "bank", "backgrounds"))
    )
    images = torch.from_numpy(np.array(image_set().images)).permute(0, 3, 1, 2)
    for made in (plain, masked, banked, whole):
        assert torch.equal(made.images, images[ROWS] / 255)
    given = [
        (b.masks is not None, b.bank is not None, b.backgrounds is not None) for b in (plain, masked, banked, whole)
    ]
    assert given == [(False, False, False), (True, False, False), (False, True, False), (True, True, True)]
    assert torch.equal(whole.masks, blobs(COUNT)[ROWS] * (ROWS != 3)[:, None, None, None] / 255)
    assert torch.equal(whole.backgrounds, whole.bank.backgrounds[ROWS] / 255)
    assert torch.equal(whole.bank.images, images)
    assert whole.bank.donors.tolist() == [row for row in range(COUNT) if row != 3]


def test_resident_spoils_masks_before_it_fills_holes():
    how = separation.Config(noise="dilate", noise_amount=0.1)
    spoilt, clean = (batch("masks", "bank", how=one) for one in (how, separation.Config()))
    assert (spoilt.masks >= clean.masks).all()
    assert not torch.equal(spoilt.masks, clean.masks)
    assert not torch.equal(spoilt.bank.backgrounds, clean.bank.backgrounds)


def test_images_without_masks_are_refused_only_where_masks_are_needed():
    assert batch(source=image_set(masked=False)).masks is None
    with pytest.raises(UserError, match=r"run\.dataset must have masks"):
        batch("masks", source=image_set(masked=False))
    with pytest.raises(UserError, match=r"run\.dataset cannot lend backgrounds: at least 3 images must have"):
        batch("bank", how=separation.Config(area=(0.95, 1.0)))
