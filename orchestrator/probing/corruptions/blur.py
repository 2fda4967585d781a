"""Blur: out of focus, seen through frosted glass, moving, and coming nearer."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from orchestrator.probing.corruptions.filters import gaussian_blurred, magnified, motion_blurred
from orchestrator.probing.draw import Draw

FINE_RADIUS = 8  # of a disc, up to which its edge is softened over 3 pixels; a larger one's over 5


def defocus_blur(
    images: Float[Tensor, "B 3 H W"], draw: Draw, radius: float, softness: float
) -> Float[Tensor, "B 3 H W"]:
    """A disc of `radius` pixels, its edge blurred by `softness` pixels; edges are mirrored."""
    kernel = soft_disc(radius, softness)
    reach = len(kernel) // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)


def soft_disc(radius: float, softness: float) -> Float[Tensor, "K K"]:
    """Weights of a disc that sum to 1.

    Args:
        radius: in pixels; below 1 the disc is one pixel.
        softness: deviation, in pixels, of the Gaussian that its edge is blurred by.
    """
    soft = 1 if radius <= FINE_RADIUS else 2
    half = max(FINE_RADIUS, math.floor(radius))  # of the field on which the edge is softened, mirrored at its border
    distance = torch.arange(-half, half + 1)
    disc = (distance**2 + distance[:, None] ** 2 <= radius**2).float()
    near = torch.arange(-soft, soft + 1)
    taps = torch.exp(-0.5 * (near / softness) ** 2)
    taps = torch.outer(taps, taps) / taps.sum() ** 2
    field = functional.pad((disc / disc.sum())[None, None], (soft,) * 4, mode="reflect")
    kernel = functional.conv2d(field, taps[None, None])[0, 0]
    empty = max(0, half - math.floor(radius) - soft)
    return kernel[empty : len(kernel) - empty, empty : len(kernel) - empty]


def glass_blur(
    images: Float[Tensor, "B 3 H W"], draw: Draw, sigma: float, reach: int, rounds: int
) -> Float[Tensor, "B 3 H W"]:
    """Every pixel replaced by one near by, between two Gaussian blurs.

    Args:
        images: in [0, 1].
        draw: of offsets.
        sigma: of the blurs, in pixels.
        reach: the pixel comes from offsets in [-reach, reach).
        rounds: of replacing.

    Source: the paper speaks of shuffling; the code that made the published sets means to swap two pixels and copies one
        over the other, as numpy's slices are views. Here they are copied too.
    """
    blurred = gaussian_blurred(images, sigma, edge="nearest")
    pixels = (255 * blurred).floor().flatten(2).mT.contiguous()  # (B, H W, 3)
    height, width = images.shape[-2:]
    place = torch.arange(height * width)
    for turn in range(rounds):
        offset = (2 * reach * draw.uniform(f"offset {turn}", 2, height * width)).long() - reach
        source = place + offset[:, 0] * width + offset[:, 1]
        for front in _fronts(height, width, reach):
            pixels[:, front] = pixels.gather(1, source[:, front, None].expand(-1, -1, 3))
    return gaussian_blurred(pixels.mT.reshape(images.shape) / 255, sigma, edge="nearest")


def _fronts(height: int, width: int, reach: int) -> Iterator[Int64[Tensor, "_"]]:
    """Pixels that can be replaced at once, in an order that gives what going through them one by one gives.

    One by one is from the bottom right, row by row, to the top left. Pixels of one front are more than `reach` columns
    apart, so that none is in the other's neighbourhood.
    """
    rows, columns = height - 2 * reach, width - 2 * reach
    skew = reach + 1
    for front in range(columns + skew * (rows - 1)):
        row = torch.arange(max(0, -(-(front - columns + 1) // skew)), min(rows, front // skew + 1))
        column = front - skew * row
        yield (height - reach - row) * width + width - reach - column


def motion_blur(images: Float[Tensor, "B 3 H W"], draw: Draw, radius: int, sigma: float) -> Float[Tensor, "B 3 H W"]:
    """Smeared at an angle of up to 45 degrees to the horizontal; see `motion_blurred`."""
    return motion_blurred(images, draw.between(-45.0, 45.0, "angle", 1)[:, 0], radius=radius, sigma=sigma)


def zoom_blur(images: Float[Tensor, "B 3 H W"], draw: Draw, step: float, count: int) -> Float[Tensor, "B 3 H W"]:
    """The mean of the image and of `count` magnifications of it, from 1 in steps of `step`.

    The factors are those of `np.arange` in the published code, to the last bit: a magnified side is rounded to whole
    pixels, and at level 5 for images of 32 pixels 26 * 1.2500000000000002 rounds to 33 where 26 * 1.25 rounds to 32.
    """
    increment = (1 + step) - 1  # `np.arange` takes its increment from its first two elements
    total = sum((magnified(images, 1 + increment * k) for k in range(count)), start=images)
    return total / (count + 1)
