"""Grayscale: all three channels become the luma."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from augment import config as base
from augment.color import luma
from augment.views import Batch, Params, Target

SLOTS = 1
TARGET_WIDTH = 1
PHOTOMETRIC = True


class Config(base.Config):
    """How often an image loses its colour.

    Args:
        p: probability.
    """

    p: base.Probability = 0.2


PROBES = {"": Config(p=1.0)}


def scaled(config: Config, strength: float) -> Config:
    """The settings at another strength of colour augmentation: the probability times `strength`, at most 1.

    Source: AugSelf's official code (`--color-aug`).
    """
    return Config(p=min(1.0, config.p * strength))


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw which images turn gray.

    Args:
        config: how often.
        shape: height and width of the images in pixels; ignored.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `gray` (B,) bool; False is the identity.
    """
    return {"gray": uniforms[:, 0] < config.p}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Take the colour from the drawn images; `size` is ignored."""
    gray = params["gray"][:, None, None, None].to(batch.images.dtype)
    # By a weight of 0 or 1, which is exact: on CPU twice as fast as a choice by `where`.
    return replace(batch, images=torch.lerp(batch.images, luma(batch.images), gray))


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """1 where gray, 0 where not."""
    return params["gray"].float()[:, None]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Whether both views are gray or both in colour.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Binary of (B, 1): 1 where they agree.

    Source: by analogy with the flip; AugSelf (arXiv 2111.09613) itself does not predict it.
    """
    agree = first["grayscale"]["gray"] == second["grayscale"]["gray"]
    return Target(agree.float()[:, None], "binary")
