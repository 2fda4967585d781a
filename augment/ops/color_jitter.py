"""Colour jitter: brightness, contrast, saturation and hue, in an order drawn for each image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from augment import config as base
from augment import shortcuts
from augment.color import luma, rotate_hue_
from augment.constants import constant
from augment.views import Batch, Params, Target

SLOTS = 9  # whether, the four amounts, the order
TARGET_WIDTH = 4
PHOTOMETRIC = True
# The numbers by which `order` names the four adjustments.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


class Config(base.Config):
    """How often, and how far each adjustment goes.

    Args:
        brightness: b draws factors from [max(0, 1 - b), 1 + b].
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: h draws from [-h, h], in turns of the colour circle.
        p: probability that the image is jittered at all.
    """

    brightness: float = Field(0.4, ge=0)
    contrast: float = Field(0.4, ge=0)
    saturation: float = Field(0.4, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)
    p: base.Probability = 0.8


def scaled(config: Config, strength: float) -> Config:
    """The settings at another strength of colour augmentation: every range times `strength`, hue at most half a turn.

    Source: AugSelf's official code (`--color-aug`), after SimCLR (arXiv 2002.05709, appendix A); the probability stays.
    """
    return Config(
        brightness=config.brightness * strength,
        contrast=config.contrast * strength,
        saturation=config.saturation * strength,
        hue=min(0.5, config.hue * strength),
        p=config.p,
    )


# 1 is what contrastive methods train with.
PROBES = {
    f"{s:g}": scaled(Config(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=1.0), s) for s in (0.5, 1.0, 2.0)
}


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw the four amounts and their order.

    Args:
        config: how often, and how far each adjustment goes.
        shape: height and width of the images in pixels; ignored.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `brightness`, `contrast`, `saturation` (B,): factors, 1 is the identity; `hue` (B,) in turns, 0 is the identity;
        `order` (B, 4) int64: the adjustments in order of application; `intensity` (B, 4): each amount's distance from
        the identity as a share of its range, what AugSelf predicts.
    """
    spreads = (config.brightness, config.contrast, config.saturation)
    low = constant([*(max(0.0, 1 - spread) for spread in spreads), -config.hue], uniforms)
    high = constant([*(1 + spread for spread in spreads), config.hue], uniforms)
    identity = constant([1.0, 1.0, 1.0, 0.0], uniforms)
    applied = uniforms[:, :1] < config.p
    amounts = torch.where(applied, low + (high - low) * uniforms[:, 1:5], identity)  # (B, 4)
    # An empty range leaves the amount at its identity, 0 away, so any divisor will do.
    intensity = (amounts - identity) / torch.where(high > low, high - low, 1.0)
    brightness, contrast, saturation, hue = amounts.unbind(1)
    return {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue,
        "order": uniforms[:, 5:].argsort(dim=1, stable=True),
        "intensity": intensity,
    }


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Adjust each image in its own order; `size` is ignored.

    Hue is costly, so it is turned once for all images: what comes before it in an image's order is done before, what
    comes after it after, and the other rounds are identities for that image. Where it can be known which images those
    are, they stand side by side and are left out.
    """
    places = _hue_places(params)
    if not shortcuts.readable(places):
        adjusted = _adjusted(batch.images.clone(), params, places, [slice(None)] * 7)
        return replace(batch, images=torch.where((places < 4)[:, None, None, None], adjusted, batch.images))
    places, rows = places.sort()
    # How many images turn their hue before each place.
    ends = torch.searchsorted(places, torch.arange(5)).tolist()
    concerned = [slice(ends[place + 1], ends[4]) for place in (0, 1, 2)]
    concerned += [slice(ends[4])] + [slice(ends[place]) for place in (1, 2, 3)]
    chosen = {name: values[rows] for name, values in params.items()}
    images = _adjusted(shortcuts.taken(batch.images, rows), chosen, places, concerned)
    return replace(batch, images=shortcuts.taken(images, rows.argsort()))


def describe(params: Params) -> Float[Tensor, "B 4"]:
    """Brightness, contrast, saturation and hue as shares of their ranges, in [-1, 1]; the identity is 0."""
    return params["intensity"]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Difference of the four intensities.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: the same of the second view.

    Returns:
        Regression of (B, 4), in [-1, 1].

    Source: AugSelf (arXiv 2111.09613), official code; an image that is not jittered counts as one at the identity.
    """
    return Target(first["color_jitter"]["intensity"] - second["color_jitter"]["intensity"], "regression")


def _hue_places(params: Params) -> Int64[Tensor, "B"]:
    """At which place of its order each image turns its hue, or 4 where nothing is adjusted."""
    adjusted = params["hue"] != 0
    for name in ("brightness", "contrast", "saturation"):
        adjusted |= params[name] != 1
    return torch.where(adjusted, (params["order"] == HUE).int().argmax(1), 4)


def _adjusted(
    images: Float[Tensor, "B 3 H W"], params: Params, hue_places: Int64[Tensor, "B"], concerned: Sequence[slice]
) -> Float[Tensor, "B 3 H W"]:
    """The images, which are overwritten, after three rounds, a turn of the hue and three rounds.

    Args:
        images: in [0, 1].
        params: from `sample`.
        hue_places: from `_hue_places`.
        concerned: for each of these, the images that it may leave out none of.
    """
    order = params["order"]
    factors = torch.stack((params["brightness"], params["contrast"], params["saturation"]), dim=1)
    factors = torch.cat((factors, torch.ones_like(factors[:, :1])), dim=1).gather(1, order)  # (B, 4), by place
    hue_places = hue_places[:, None]
    place = torch.arange(4, device=order.device)
    before, after = torch.where(hue_places > place, factors, 1), torch.where(hue_places < place, factors, 1)
    for round_, who in zip((0, 1, 2), concerned[:3], strict=True):
        _blend_(images[who], before[who, round_], order[who, round_])
    rotate_hue_(images[concerned[3]], params["hue"][concerned[3]])
    for round_, who in zip((1, 2, 3), concerned[4:], strict=True):
        _blend_(images[who], after[who, round_], order[who, round_])
    return images


def _blend_(images: Float[Tensor, "B 3 H W"], factor: Float[Tensor, "B"], adjustment: Int64[Tensor, "B"]) -> None:
    """Brightness, contrast or saturation: factor x image + (1 - factor) x (black, mean luma or luma), within [0, 1].

    In place, because on CPU fresh memory costs more than the arithmetic. Two of the three have no share in an image, so
    that the same arithmetic serves every image of the batch.
    """
    factor, adjustment = factor[:, None, None, None], adjustment[:, None, None, None]
    to_luma, to_mean = (1 - factor) * (adjustment == SATURATION), (1 - factor) * (adjustment == CONTRAST)
    bright = luma(images)
    mean = bright.mean((2, 3), keepdim=True)
    bright.mul_(to_luma).add_(to_mean * mean)
    images.mul_(factor).add_(bright).clamp_(0, 1)
