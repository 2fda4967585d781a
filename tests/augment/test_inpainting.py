import numpy as np
import pytest
import torch

from augment import inpainting
from tests.augment.banks import blobs, noise

FILLS = [inpainting.tiled, inpainting.diffused]


def painted(masks, seed=1):
    """Green and blue noise with red foregrounds of these masks before it."""
    background = noise(len(masks), masks.shape[-1], seed)
    background[:, 0] = 0
    red = torch.tensor([255, 0, 0])[None, :, None, None]
    share = masks / 255
    return (background * (1 - share) + red * share).round().to(torch.uint8)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("side", [16, 21])
def test_no_foreground_is_left(fill, side):
    masks = blobs(64, side)
    filled = fill(painted(masks), masks)
    assert filled[:, 0].max() <= inpainting.HOLE  # what little covers the pixels that are no hole
    assert filled[:, 1].float().mean() > 80  # and it is filled with background, not with black


@pytest.mark.parametrize("fill", FILLS)
def test_pixels_away_from_the_foreground_stay_and_images_do_not_mix(fill):
    masks, images = blobs(32), noise(32)
    masks[5] = 0
    filled = fill(images, masks)
    assert torch.equal(filled[5], images[5])
    box = torch.zeros(32, 16, 16, dtype=torch.bool)
    for i, mask in enumerate(masks[:, 0] >= inpainting.HOLE):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        if len(rows):
            box[i, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    keep = ~(masks[:, 0] >= inpainting.HOLE) if fill is inpainting.diffused else ~box
    assert torch.equal(filled.permute(0, 2, 3, 1)[keep], images.permute(0, 2, 3, 1)[keep])
    assert torch.equal(fill(images[7:9], masks[7:9]), filled[7:9])


def tiled_slowly(image, mask):
    """One image (H, W, 3), as described in words: the largest strip, mirrored over and over towards the middle."""
    image = image.copy()
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    strips = {
        "above": image[:top],
        "below": image[bottom:],
        "left": image[:, :left],
        "right": image[:, right:],
    }
    name = max(strips, key=lambda name: strips[name][..., 0].size)
    if name in ("above", "below"):
        pad = ((0, bottom - top), (0, 0), (0, 0)) if name == "above" else ((bottom - top, 0), (0, 0), (0, 0))
        grown = np.pad(strips[name], pad, mode="symmetric")
        image[top:bottom, left:right] = (grown[-(bottom - top) :] if name == "above" else grown[: bottom - top])[
            :, left:right
        ]
    else:
        pad = ((0, 0), (0, right - left), (0, 0)) if name == "left" else ((0, 0), (right - left, 0), (0, 0))
        grown = np.pad(strips[name], pad, mode="symmetric")
        image[top:bottom, left:right] = (grown[:, -(right - left) :] if name == "left" else grown[:, : right - left])[
            top:bottom
        ]
    return image


def test_tiling_equals_a_slow_one():
    masks, images = blobs(64, 18), noise(64, 18)
    masks[0], masks[0, :, 1:18, 2:18] = 0, 255  # leaves strips of one and two pixels
    filled = inpainting.tiled(images, masks).permute(0, 2, 3, 1).numpy()
    for i in range(64):
        expected = tiled_slowly(images[i].permute(1, 2, 0).numpy(), masks[i, 0].numpy() >= inpainting.HOLE)
        np.testing.assert_array_equal(filled[i], expected)


def test_box_that_fills_the_frame_is_diffused():
    masks, images = blobs(3), noise(3)
    masks[1] = 0
    masks[1, 0, 8], masks[1, 0, :, 8] = 255, 255
    assert torch.equal(inpainting.tiled(images, masks)[1], inpainting.diffused(images, masks)[1])
    assert not torch.equal(inpainting.tiled(images, masks)[0], inpainting.diffused(images, masks)[0])


def test_diffusion_keeps_one_colour_and_stays_between_the_colours_around():
    masks = blobs(16)
    flat = torch.full((16, 3, 16, 16), 90, dtype=torch.uint8)
    assert torch.equal(
        inpainting.diffused(torch.where(masks > 0, 255, flat).to(torch.uint8), (masks > 0) * masks.new_tensor(255)),
        flat,
    )
    ramp = torch.linspace(50, 200, 16).to(torch.uint8).expand(16, 3, 16, 16).contiguous()
    filled = inpainting.diffused(ramp, masks)
    assert filled.min() >= 50
    assert filled.max() <= 200
    assert (filled.float() - ramp).abs().max() < 50  # a smooth image is guessed well


def test_image_without_background_turns_black():
    full = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    assert (inpainting.diffused(noise(1, 8), full) == 0).all()
