"""Random resized crop: a box of random area and shape, brought to the size of the view."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from augment.borrowing import Geometry
from augment.boxes import SLOTS, Config, drawn, resampling
from augment.views import Batch, Params, Target

__all__ = [
    "PROBES",
    "RESIZES",
    "SLOTS",
    "TARGET_WIDTH",
    "UPRIGHT",
    "Config",
    "apply",
    "compare",
    "describe",
    "donor_geometry",
    "sample",
]

RESIZES = True
TARGET_WIDTH = 4
UPRIGHT = True
# Squares of 0.8, 0.6 and 0.2 of the image.
PROBES = {f"{s:g}": Config(scale=(1 - 0.4 * s, 1 - 0.4 * s), ratio=(1.0, 1.0)) for s in (0.5, 1.0, 2.0)}


def donor_geometry(config: Config, geometry: Geometry) -> Geometry:
    """The geometry with boxes of these settings."""
    return geometry.model_copy(update={"box": config})


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw one box per image, as torchvision's RandomResizedCrop does.

    Args:
        config: which boxes are drawn.
        shape: height and width of the images in pixels.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `box` (B, 4): top, left, height, width as shares of the image's height and width; the identity is 0, 0, 1, 1.
    """
    return {"box": drawn(config, shape, uniforms)}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Cut out the boxes and resample them, bilinear and antialiased, with edges clamped to the box.

    Args:
        batch: images, masks and backgrounds, (B, C, H, W).
        params: from `sample`.
        size: side of the output in pixels, or None for the size of the input.

    Returns:
        The batch at (B, C, size, size).
    """
    height, width = batch.images.shape[-2:]
    return batch.moved(resampling(params["box"], (height, width), size))


def describe(params: Params) -> Float[Tensor, "B 4"]:
    """Centre (y, x) less 1/2, and height and width less 1, as shares of the image; in [-1, 1], the identity is 0."""
    top, left, height, width = params["box"].unbind(1)
    return torch.stack((top + height / 2 - 0.5, left + width / 2 - 0.5, height - 1, width - 1), dim=1)


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Difference of centre and size, x in the mirrored frame of the first view where that one is flipped.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Regression of (B, 4): centre y, centre x, height, width, each in [-1, 1].

    Source: AugSelf (arXiv 2111.09613), official code: both centres are mirrored by the *first* view's flip, so x
        changes its sign from (first, second) to (second, first) only where the two flips agree. Readers of the paper
        report a plain difference. Quarter turns are ignored, as in that code: boxes are compared upright.
    """
    difference = describe(first["crop"]) - describe(second["crop"])
    if "flip" in first:
        sign = 1 - 2 * first["flip"]["flipped"].to(difference.dtype)
        difference = torch.stack((difference[:, 0], difference[:, 1] * sign, difference[:, 2], difference[:, 3]), dim=1)
    return Target(difference, "regression")
