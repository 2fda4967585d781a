"""Boxes in images: drawing them, and resampling what is inside; what the ops share that cut something out."""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AfterValidator
from torch import Tensor

from augment import config as base
from augment.constants import constant
from augment.separable_filter import Taps, filtered

TRIES = 10
SLOTS = 2 * TRIES + 2  # area and shape of each try, then the place of the box


def _area(scale: tuple[float, float]) -> tuple[float, float]:
    if not (scale[0] > 0 and scale[1] <= 1):
        raise ValueError(f"0 < low <= high <= 1 must hold, got [{scale[0]}, {scale[1]}]")
    return scale


def _shape(ratio: tuple[float, float]) -> tuple[float, float]:
    if not ratio[0] > 0:
        raise ValueError(f"0 < low <= high must hold, got [{ratio[0]}, {ratio[1]}]")
    return ratio


class Config(base.Config):
    """Which boxes are drawn.

    Args:
        scale: smallest and largest area of the box, as a share of the image, in (0, 1].
        ratio: smallest and largest width / height of the box.
    """

    scale: Annotated[base.Interval, AfterValidator(_area)] = (0.2, 1.0)
    ratio: Annotated[base.Interval, AfterValidator(_shape)] = (3 / 4, 4 / 3)


def drawn(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Float[Tensor, "B 4"]:
    """One box per image, with whole pixels as corners.

    Args:
        config: which boxes are drawn.
        shape: height and width of the images in pixels.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        Top, left, height, width as shares of the image's height and width; the whole image is 0, 0, 1, 1.

    Source: torchvision's RandomResizedCrop: ten tries, each with a uniform area and a log-uniform shape; the first
        that fits is taken, else the largest central box of legal shape.
    """
    height, width = shape
    numbers = uniforms.double()  # so that every device rounds to the same pixel
    low, high = config.scale
    area = height * width * (low + (high - low) * numbers[:, :TRIES])
    low, high = math.log(config.ratio[0]), math.log(config.ratio[1])
    ratio = torch.exp(low + (high - low) * numbers[:, TRIES : 2 * TRIES])
    heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()  # (B, TRIES)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.int().argmax(1, keepdim=True)
    found = fits.any(1)
    fallback_height, fallback_width = _largest(height, width, config.ratio)
    box_height = torch.where(found, heights.gather(1, first)[:, 0], fallback_height)
    box_width = torch.where(found, widths.gather(1, first)[:, 0], fallback_width)
    down, along = numbers[:, 2 * TRIES], numbers[:, 2 * TRIES + 1]
    top = torch.where(found, down * (height - box_height + 1), (height - fallback_height) // 2).floor()
    left = torch.where(found, along * (width - box_width + 1), (width - fallback_width) // 2).floor()
    box = torch.stack((top / height, left / width, box_height / height, box_width / width), dim=1)
    return box.to(uniforms.dtype)


def resampling(
    box: Float[Tensor, "B 4"], shape: tuple[int, int], size: int | None = None
) -> Callable[[Tensor], Tensor]:
    """What cuts out boxes and resamples them, bilinear and antialiased, with edges clamped to the box.

    Args:
        box: from `drawn`.
        shape: height and width of the source in pixels.
        size: side of the output in pixels, or None for the size of the source.

    Returns:
        A function from planes (B, C, *shape) to planes (B, C, size, size).
    """
    height, width = shape
    out = (height, width) if size is None else (size, size)
    source = constant((height, width, height, width), box)
    top, left, box_height, box_width = (box * source).round().unbind(1)
    down, across = _taps(top, box_height, height, out[0]), _taps(left, box_width, width, out[1])
    return lambda planes: filtered(planes, down, across)


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest box of legal shape."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def _taps(start: Float[Tensor, "B"], length: Float[Tensor, "B"], source: int, out: int) -> Taps:
    """Of a stretch of the source: triangles as wide as the reduction, two pixels at least, cut at its ends."""
    start, length = start[:, None, None], length[:, None, None]
    scale = length / out
    reach = scale.clamp(min=1)
    centre = start + (torch.arange(out, device=start.device)[:, None] + 0.5) * scale  # (B, out, 1)
    count = math.ceil(2 * max(1, source / out))  # of the whole numbers in the widest triangle
    pixel = (centre - reach + 0.5).floor() + torch.arange(count, device=start.device)
    weights = (1 - (pixel + 0.5 - centre).abs() / reach).clamp(min=0)
    weights = weights * ((pixel >= start) & (pixel < start + length))
    return pixel.clamp(0, source - 1).int(), weights / weights.sum(-1, keepdim=True)
