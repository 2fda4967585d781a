"""Solarize: invert every value at or above a threshold."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AfterValidator
from torch import Tensor

from augment import config as base
from augment.views import Batch, Params, Target

SLOTS = 2
TARGET_WIDTH = 1
PHOTOMETRIC = True


def _in_range(threshold: tuple[float, float]) -> tuple[float, float]:
    if not (threshold[0] >= 0 and threshold[1] <= 1):
        raise ValueError(f"0 <= low <= high <= 1 must hold, got [{threshold[0]}, {threshold[1]}]")
    return threshold


class Config(base.Config):
    """How often, and from which value on.

    Args:
        threshold: smallest and largest threshold, in [0, 1]; 1 inverts nothing.
        p: probability.
    """

    threshold: Annotated[base.Interval, AfterValidator(_in_range)] = (0.5, 0.5)
    p: base.Probability = 0.2


PROBES = {f"{s:g}": Config(threshold=(1 - s / 4, 1 - s / 4), p=1.0) for s in (0.5, 1.0, 2.0)}


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw one threshold per image.

    Args:
        config: how often, and from which value on.
        shape: height and width of the images in pixels; ignored.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `threshold` (B,) in [0, 1]; 1 is the identity.
    """
    low, high = config.threshold
    threshold = low + (high - low) * uniforms[:, 1]
    return {"threshold": torch.where(uniforms[:, 0] < config.p, threshold, 1.0)}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Invert what is at or above the image's threshold; `size` is ignored.

    Source: as torchvision's and PIL's solarize, but for threshold 1: those invert pure white there, this nothing, so
        that the identity parameter is an identity.
    """
    threshold = params["threshold"]
    threshold = torch.where(threshold < 1, threshold, torch.inf)[:, None, None, None]
    return replace(batch, images=torch.where(batch.images >= threshold, 1 - batch.images, batch.images))


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """1 less the threshold: the share of the range that is inverted, in [0, 1]; the identity is 0."""
    return 1 - params["threshold"][:, None]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Difference of the thresholds.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Regression of (B, 1), in [-1, 1].

    Source: AugSelf (arXiv 2111.09613). Its official code gives (B,) for a prediction of (B, 1), which broadcasts to
        (B, B) in the loss and leaves no signal; here the shapes agree.
    """
    return Target((first["solarize"]["threshold"] - second["solarize"]["threshold"])[:, None], "regression")
