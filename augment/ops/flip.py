"""Horizontal flip."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from augment import config as base
from augment.borrowing import Geometry
from augment.views import Batch, Params, Target

SLOTS = 1
TARGET_WIDTH = 1
REORIENTS = True


class Config(base.Config):
    """How often an image is flipped.

    Args:
        p: probability.
    """

    p: base.Probability = 0.5


PROBES = {"": Config(p=1.0)}


def donor_geometry(config: Config, geometry: Geometry) -> Geometry:
    """The geometry mirrored as often."""
    return geometry.model_copy(update={"flip": config.p})


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw which images are flipped.

    Args:
        config: how often.
        shape: height and width of the images in pixels; ignored.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `flipped` (B,) bool; False is the identity.
    """
    return {"flipped": uniforms[:, 0] < config.p}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Mirror the drawn images and their masks left to right; `size` is ignored."""
    flipped = params["flipped"][:, None, None, None].to(batch.images.dtype)
    # By a weight of 0 or 1, which is exact: on CPU faster than a choice by `where`.
    return batch.moved(lambda plane: torch.lerp(plane, plane.flip(-1), flipped))


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """1 where flipped, 0 where not."""
    return params["flipped"].float()[:, None]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Whether both views are flipped alike.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Binary of (B, 1): 1 where the flips agree.

    Source: AugSelf (arXiv 2111.09613); paper and official code agree.
    """
    agree = first["flip"]["flipped"] == second["flip"]["flipped"]
    return Target(agree.float()[:, None], "binary")
