"""Gaussian blur."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AfterValidator
from torch import Tensor

from augment import config as base
from augment.separable_filter import Taps, filtered
from augment.shortcuts import changed
from augment.views import Batch, Params, Target

SLOTS = 2
TARGET_WIDTH = 1
PHOTOMETRIC = True
REACH = 3  # the kernel ends at this many of the largest sigma, beyond it is 0.3 % of a Gaussian


def _positive(sigma: tuple[float, float]) -> tuple[float, float]:
    if not sigma[0] > 0:
        raise ValueError(f"0 < low <= high must hold, got [{sigma[0]}, {sigma[1]}]")
    return sigma


class Config(base.Config):
    """How often, and how far.

    Args:
        sigma: smallest and largest standard deviation of the Gaussian, in pixels of the view.
        p: probability.
    """

    sigma: Annotated[base.Interval, AfterValidator(_positive)] = (0.1, 2.0)
    p: base.Probability = 0.5


PROBES = {f"{s:g}": Config(sigma=(s, s), p=1.0) for s in (0.5, 1.0, 2.0)}


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw one Gaussian per image.

    Args:
        config: how often, and how far.
        shape: height and width of the images in pixels; the kernel is never wider than their reflection.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `sigma` (B,) in pixels, 0 is the identity; `intensity` (B,) = sigma / largest sigma; `kernel` (B, K), sums to 1,
        where K = 2 ceil(3 x largest sigma) + 1 for all images alike: 13 for MoCo v2's sigmas.

    Source: MoCo v2 and MSR blur with PIL's GaussianBlur(radius = sigma), which has no kernel size; AugSelf truncates
        at 9 pixels (96 px images) or 23 (224 px).
    """
    low, high = config.sigma
    sigma = torch.where(uniforms[:, 0] < config.p, low + (high - low) * uniforms[:, 1], 0.0)
    radius = min(math.ceil(REACH * high), min(shape) - 1)
    distance = torch.arange(-radius, radius + 1, device=sigma.device)
    # At sigma 0 the floor makes every neighbour's weight underflow to 0.
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    return {"sigma": sigma, "intensity": sigma / high, "kernel": kernel / kernel.sum(1, keepdim=True)}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Blur along columns and along rows, with edges reflected; `size` is ignored."""
    height, width = batch.images.shape[-2:]

    def blurred(images: Tensor, kernel: Tensor) -> Tensor:
        return filtered(images, _taps(kernel, height), _taps(kernel, width))

    return replace(batch, images=changed(batch.images, params["sigma"] > 0, blurred, params["kernel"]))


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """Sigma as a share of the largest, in [0, 1]; the identity is 0."""
    return params["intensity"][:, None]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Difference of the sigmas, as shares of the largest.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Regression of (B, 1), in [-1, 1].

    Source: AugSelf (arXiv 2111.09613). Its official code compares sigmas in pixels, up to 2 apart, with a tanh, which
        never gets there; here the difference is normalised as the colour ops' is.
    """
    return Target((first["blur"]["intensity"] - second["blur"]["intensity"])[:, None], "regression")


def _taps(kernel: Float[Tensor, "B K"], side: int) -> Taps:
    """The kernel around every pixel of a line."""
    reach = torch.arange(kernel.shape[1], dtype=torch.int32, device=kernel.device) - kernel.shape[1] // 2
    place = torch.arange(side, dtype=torch.int32, device=kernel.device)[:, None] + reach  # (side, K), -1 is outside
    place = (side - 1) - ((side - 1) - place.abs()).abs()  # reflected at both edges
    return place[None], kernel[:, None].expand(-1, side, -1)
