"""Filters that several corruptions share: Gaussian blur, motion blur and magnification."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def gaussian_matrix(
    side: int, sigma: float, *, truncate: float, edge: Literal["nearest", "reflect"]
) -> Float[Tensor, "side side"]:
    """Weight of each pixel of a row (last dimension) in each pixel of the blurred row.

    Args:
        side: of the row, in pixels.
        sigma: of the Gaussian, in pixels; 0 is the identity.
        truncate: where the kernel ends, in sigmas.
        edge: what lies beyond the row: its outermost pixel, or the row mirrored with its outermost pixel.

    Source: the kernel of scipy.ndimage.gaussian_filter, by which the published corruptions blur.
    """
    radius = int(truncate * sigma + 0.5)
    distance = torch.arange(-radius, radius + 1)
    # At sigma 0 there is distance 0 alone, so that any divisor will do.
    weights = torch.exp(-0.5 * (distance / (sigma or 1.0)) ** 2)
    source = torch.arange(side)[:, None] + distance  # (side, K)
    if edge == "nearest":
        source = source.clamp(0, side - 1)
    else:
        source = source % (2 * side)
        source = torch.minimum(source, 2 * side - 1 - source)
    return torch.zeros(side, side).scatter_add_(1, source, (weights / weights.sum()).expand(side, -1))


def gaussian_blurred(
    planes: Float[Tensor, "... H W"], sigma: float, *, truncate: float = 4.0, edge: Literal["nearest", "reflect"]
) -> Float[Tensor, "... H W"]:
    """Planes under a Gaussian of `sigma` pixels; see `gaussian_matrix`."""
    down, across = (gaussian_matrix(side, sigma, truncate=truncate, edge=edge) for side in planes.shape[-2:])
    return down @ planes @ across.mT


def motion_blurred(
    planes: Float[Tensor, "B C H W"], angle: Float[Tensor, "B"], *, radius: int, sigma: float
) -> Float[Tensor, "B C H W"]:
    """Planes smeared to one side, along a line of whole pixels, with weights that fall as half a Gaussian.

    Args:
        planes: of any range; beyond their edge lies their outermost pixel.
        angle: of the line in degrees, 0 is to the right, 90 is down.
        radius: the line has 2 radius + 1 pixels.
        sigma: of the Gaussian, in pixels.

    Source: ImageMagick's motion blur, by which the published corruptions smear.
    """
    height, width = planes.shape[-2:]
    steps = torch.arange(2 * radius + 1)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    weights = weights / weights.sum()
    turn = torch.deg2rad(angle)[:, None]
    down, along = (torch.ceil(steps * share - 0.5).long() for share in (turn.sin(), turn.cos()))  # (B, K)
    rows = (torch.arange(height)[:, None] + down[:, None]).clamp(0, height - 1)  # (B, H, K)
    columns = (torch.arange(width)[:, None] + along[:, None]).clamp(0, width - 1)
    pixels, smeared = planes.flatten(2), torch.zeros_like(planes)
    for k in range(len(steps)):
        source = (rows[:, :, None, k] * width + columns[:, None, :, k]).flatten(1)
        moved = pixels.gather(2, source[:, None].expand(-1, planes.shape[1], -1))
        smeared += weights[k] * moved.view_as(planes)
    return smeared


def magnified(planes: Float[Tensor, "B C H W"], zoom: float) -> Float[Tensor, "B C H W"]:
    """The middle of the planes, bilinearly enlarged `zoom` >= 1 times and cut to the size that they had.

    Source: the grid is that of scipy.ndimage.zoom, whose outermost samples are the outermost pixels.
    """
    sides = planes.shape[-2:]
    seen = [math.ceil(side / zoom) for side in sides]
    top, left = ((side - part) // 2 for side, part in zip(sides, seen, strict=True))
    middle = planes[..., top : top + seen[0], left : left + seen[1]]
    larger = functional.interpolate(
        middle, size=[round(part * zoom) for part in seen], mode="bilinear", align_corners=True
    )
    top, left = ((large - side) // 2 for large, side in zip(larger.shape[-2:], sides, strict=True))
    return larger[..., top : top + sides[0], left : left + sides[1]]
