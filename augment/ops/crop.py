"""Random resized crop: a box of random area and shape, brought to the size of the view."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import AfterValidator
from torch import Tensor

from augment import config as base
from augment.views import Batch, Params, Target

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


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw one box per image, with whole pixels as corners.

    Args:
        config: which boxes are drawn.
        shape: height and width of the images in pixels.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `box` (B, 4): top, left, height, width as shares of the image's height and width; the identity is 0, 0, 1, 1.

    Source: torchvision's RandomResizedCrop: ten tries, each with a uniform area and a log-uniform shape; the first
        that fits is taken, else the largest central box of legal shape.
    """
    height, width = shape
    drawn = uniforms.double()  # so that every device rounds to the same pixel
    low, high = config.scale
    area = height * width * (low + (high - low) * drawn[:, :TRIES])
    low, high = math.log(config.ratio[0]), math.log(config.ratio[1])
    ratio = torch.exp(low + (high - low) * drawn[:, TRIES : 2 * TRIES])
    heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()  # (B, TRIES)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.int().argmax(1, keepdim=True)
    found = fits.any(1)
    fallback_height, fallback_width = _largest(height, width, config.ratio)
    box_height = torch.where(found, heights.gather(1, first)[:, 0], fallback_height)
    box_width = torch.where(found, widths.gather(1, first)[:, 0], fallback_width)
    top = torch.where(found, drawn[:, -2] * (height - box_height + 1), (height - fallback_height) // 2).floor()
    left = torch.where(found, drawn[:, -1] * (width - box_width + 1), (width - fallback_width) // 2).floor()
    box = torch.stack((top / height, left / width, box_height / height, box_width / width), dim=1)
    return {"box": box.to(uniforms.dtype)}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Cut out the boxes and resample them, bilinear and antialiased, with edges clamped to the box.

    Args:
        batch: images and masks, (B, C, H, W).
        params: from `sample`.
        size: side of the output in pixels, or None for the size of the input.

    Returns:
        Images and masks, (B, C, size, size).
    """
    height, width = batch.images.shape[-2:]
    out = (height, width) if size is None else (size, size)
    source = params["box"].new_tensor((height, width, height, width))
    top, left, box_height, box_width = (params["box"] * source).round().unbind(1)
    rows, columns = (top, box_height, height, out[0]), (left, box_width, width, out[1])
    if height <= out[0] and width <= out[1]:  # no box can be larger than the output: nothing to antialias
        grid = torch.stack(
            torch.broadcast_tensors(_coordinates(*columns)[:, None, :], _coordinates(*rows)[:, :, None]), dim=-1
        )
        return batch.moved(
            lambda plane: F.grid_sample(plane, grid, mode="bilinear", padding_mode="border", align_corners=False)
        )
    down, across = _filters(*rows)[:, None], _filters(*columns)[:, None].mT
    return batch.moved(lambda plane: down @ (plane @ across))


def describe(params: Params) -> Float[Tensor, "B 4"]:
    """Centre (y, x) less 1/2, and height and width less 1, as shares of the image; in [-1, 1], the identity is 0."""
    top, left, height, width = params["box"].unbind(1)
    return torch.stack((top + height / 2 - 0.5, left + width / 2 - 0.5, height - 1, width - 1), dim=1)


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Difference of centre and size, x in the mirrored frame of the first view where that one is flipped.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: idem of the second view.

    Returns:
        Regression of (B, 4): centre y, centre x, height, width, each in [-1, 1].

    Source: AugSelf (arXiv 2111.09613), official code: both centres are mirrored by the *first* view's flip, so x
        changes its sign from (first, second) to (second, first) only where the two flips agree. Readers of the paper
        report a plain difference. Quarter turns are of no influence, as in that code: boxes are compared upright.
    """
    difference = describe(first["crop"]) - describe(second["crop"])
    if "flip" in first:
        sign = 1 - 2 * first["flip"]["flipped"].to(difference.dtype)
        difference = torch.stack((difference[:, 0], difference[:, 1] * sign, difference[:, 2], difference[:, 3]), dim=1)
    return Target(difference, "regression")


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest box of legal shape."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def _coordinates(
    start: Float[Tensor, "B"], length: Float[Tensor, "B"], source: int, out: int
) -> Float[Tensor, "B out"]:
    """Where each output pixel lies in the source, in grid_sample's [-1, 1], clamped to the box's outermost centres."""
    start, length = start[:, None], length[:, None]
    centre = (torch.arange(out, device=start.device) + 0.5) * (length / out) - 0.5  # counted from the box's first pixel
    centre = start + torch.minimum(centre.clamp(min=0), length - 1)
    return (2 * centre + 1) / source - 1


def _filters(
    start: Float[Tensor, "B"], length: Float[Tensor, "B"], source: int, out: int
) -> Float[Tensor, "B out source"]:
    """Weight of each source pixel in each output pixel: a triangle as wide as the reduction, cut at the box."""
    start, length = start[:, None, None], length[:, None, None]
    scale = length / out
    pixel = torch.arange(source, device=start.device) + 0.5
    centre = start + (torch.arange(out, device=start.device)[:, None] + 0.5) * scale
    weights = (1 - (pixel - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < start + length))
    return weights / weights.sum(-1, keepdim=True)
