"""Separates foregrounds from backgrounds, once before training."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from pydantic import AfterValidator
from torch import Tensor

from augment import config as base
from augment import draws, inpainting
from augment.borrowing import OWN, UNKNOWN
from augment.views import Bank

_CHUNK = 1 << 20  # pixels worked on at once: a fixed amount of memory, however many images there are
# A mask is used if its share of foreground is within these; most users of unsupervised masks take the lower one.
AREA = (0.01, 0.9)
MIN_DONORS = 3  # a view, the lender of its background, and the lender of another foreground


def _share(area: tuple[float, float]) -> tuple[float, float]:
    if not (area[0] > 0 and area[1] <= 1):
        raise ValueError(f"0 < low <= high <= 1 must hold, got [{area[0]}, {area[1]}]")
    return area


Area = Annotated[base.Interval, AfterValidator(_share)]


class Config(base.Config):
    """How masks are read, and how backgrounds are completed.

    Args:
        hardness: `soft` takes masks as coverage, `hard` rounds them at one half.
        noise: how masks are degraded, to measure how much their quality matters: `dilate` or `erode` all, `shift` each
            up, down, left or right, or `shuffle`: give some the mask of another image. It is the same in all epochs.
        noise_amount: only with noise: radius or distance as a share of the image's height, or, of `shuffle`, the share
            of images; in [0, 1].
        area: smallest and largest share of foreground in a mask that is used, after the noise; an image with
            another one is left unchanged and lends nothing.
        holes: how a background is completed where the foreground was: `tile` the box around it with a strip next to it,
            or `diffuse` the colours around it into it.

    Source: arXiv 2103.12719 states none of these: its masks' area filter and noise are not public, and sources disagree
        on tiled or inpainted. Soft masks as in Whac-A-Mole's code; 1 % as the common filter of unsupervised masks.
    """

    hardness: Literal["soft", "hard"] = "soft"
    noise: Literal["none", "dilate", "erode", "shift", "shuffle"] = "none"
    noise_amount: base.Probability = 0.05
    area: Area = AREA
    holes: Literal["tile", "diffuse"] = "tile"


def foregrounds(
    masks: UInt8[Tensor, "N 1 H W"], config: Config, seed: int, rows: Int64[Tensor, "N"]
) -> UInt8[Tensor, "N 1 H W"]:
    """The masks as `config` wants them read, and all 0 where they are not to be believed.

    Args:
        masks: coverage, 0 to 255.
        config: hardness, noise and area.
        seed: of the noise.
        rows: of the images in the data set, by which the noise is drawn; all that are shuffled must be there at once.
    """
    masks = _spoilt(masks, config, seed, rows)
    if config.hardness == "hard":
        masks = (masks >= 128).to(torch.uint8) * 255
    share = masks.flatten(1).sum(1) / (255 * masks[0].numel())
    believed = (share >= config.area[0]) & (share <= config.area[1])
    return masks * believed[:, None, None, None]


def lenders(masks: UInt8[Tensor, "N 1 H W"]) -> Int64[Tensor, "N"]:
    """Whose backgrounds images have, as in `Batch.lenders`: their own, or unknown without a usable mask.

    Args:
        masks: from `foregrounds`.
    """
    return torch.where(masks.flatten(1).amax(1) > 0, OWN, UNKNOWN)


def completed(
    images: UInt8[Tensor, "N 3 H W"], masks: UInt8[Tensor, "N 1 H W"], config: Config
) -> UInt8[Tensor, "N 3 H W"]:
    """What is behind the foreground of each image, and around it.

    Args:
        images: 0 to 255.
        masks: from `foregrounds`.
        config: how to fill holes.
    """
    fill = inpainting.tiled if config.holes == "tile" else inpainting.diffused
    return torch.cat([fill(images[part], masks[part]) for part in _chunks(images)])


def bank(
    images: UInt8[Tensor, "N 3 H W"],
    masks: UInt8[Tensor, "N 1 H W"],
    backgrounds: UInt8[Tensor, "N 3 H W"],
    *,
    area: Area,
    rows: Int64[Tensor, "N"],
    count: int,
) -> Bank:
    """List the images that can lend; nothing is copied.

    Args:
        images: 0 to 255.
        masks: from `foregrounds`.
        backgrounds: from `completed`.
        area: with which the masks were read, for the error message if too few are usable.
        rows: of the images in the data set, ascending.
        count: rows of the data set.

    Raises:
        ValueError: if fewer than `MIN_DONORS` masks are usable.
    """
    donors = masks.flatten(1).any(1).nonzero()[:, 0]
    if len(donors) < MIN_DONORS:
        raise ValueError(
            f"at least {MIN_DONORS} images must have a mask with a foreground share in {list(area)}, got "
            f"{len(donors)} of {len(images)}: widen separation.area, or repair the masks"
        )
    places = torch.searchsorted(rows[donors], torch.arange(count, device=rows.device)) % len(donors)
    return Bank(images, masks, backgrounds, donors, places)


def _spoilt(masks: Tensor, config: Config, seed: int, rows: Tensor) -> Tensor:
    if config.noise == "none":
        return masks
    # An epoch of its own, for training's begin with 1.
    drawn = draws.uniforms(seed, 0, rows, [draws.stream(f"mask noise/{config.noise}")], 1)[0, :, 0]
    if config.noise == "shuffle":
        return _shuffled(masks, drawn < config.noise_amount)
    pixels = round(config.noise_amount * masks.shape[-2])
    if config.noise == "shift":
        return torch.cat([_shifted(masks[part], (4 * drawn[part]).long(), pixels) for part in _chunks(masks)])
    grow = _dilated if config.noise == "dilate" else _eroded
    return torch.cat([grow(masks[part], pixels) for part in _chunks(masks)])


def _dilated(masks: Tensor, pixels: int) -> Tensor:
    return F.max_pool2d(masks.float(), 2 * pixels + 1, stride=1, padding=pixels).to(torch.uint8)


def _eroded(masks: Tensor, pixels: int) -> Tensor:
    return 255 - _dilated(255 - masks, pixels)


def _shifted(masks: Tensor, direction: Tensor, pixels: int) -> Tensor:
    """The masks moved up, down, left or right; nothing comes in from outside."""
    padded = F.pad(masks, (pixels,) * 4)
    height, width = masks.shape[-2:]
    starts = ((2 * pixels, pixels), (0, pixels), (pixels, 2 * pixels), (pixels, 0))
    moved = torch.stack([padded[..., top : top + height, left : left + width] for top, left in starts], dim=1)
    return moved[torch.arange(len(masks), device=masks.device), direction]


def _shuffled(masks: Tensor, chosen: Tensor) -> Tensor:
    """Each chosen image with the mask of the next chosen one."""
    rows = chosen.nonzero()[:, 0]
    shuffled = masks.clone()
    shuffled[rows] = masks[rows.roll(-1)]
    return shuffled


def _chunks(images: Tensor) -> Iterator[slice]:
    step = max(1, _CHUNK // images[0].numel())
    yield from (slice(start, start + step) for start in range(0, len(images), step))
