"""Another background behind the image's own foreground: another image's, or none."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from augment import borrowing
from augment import config as base
from augment.borrowing import OWN, PLAIN, Geometry, arranged, arrangement, chosen, fetched, other_place, visible
from augment.constants import constant
from augment.separation import AREA, Area
from augment.views import Batch, Params, Target

SHARED = 1  # the coin that all views of an image may toss together
SLOTS = SHARED + 2 + borrowing.SLOTS  # the view's own coin, and the donor
TARGET_WIDTH = 1

_GREY, _BLACK = (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)
_COLOURS = ("mean", "grey", "black")


class Config(base.Config):
    """How often, and by what.

    Args:
        plate: what is put behind the foreground: the background of a `donor`, another image drawn from the whole data
            set; or one colour: `mean` of the data set (0 after normalisation), `grey` (one half) or `black`.
        p: probability.
        shared_coin: whether the views of an image that have this op toss one coin together, or each its own.
        area: smallest and largest share of foreground in a view that is given another background; others stay
            unchanged: they show too little foreground, or too little background.
        donor: how the donor is cropped and flipped.
    """

    plate: Literal["donor", "mean", "grey", "black"] = "donor"
    p: base.Probability = 0.2
    shared_coin: bool = False
    area: Area = AREA
    donor: Geometry = Geometry()


def needs(config: Config) -> frozenset[str]:
    """The fields of a batch, besides its images, that `apply` reads."""
    return frozenset({"masks", "bank"} if config.plate == "donor" else {"masks"})


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw which images get another background, and which one.

    Args:
        config: how often, and by what.
        shape: height and width of the view in pixels.
        uniforms: `SLOTS` numbers per image in [0, 1), of which the first one is the same for all its views.

    Returns:
        `drawn` (B,) bool: False is the identity; `area` (B, 2); and either `donor` (B,) in [0, 1), the share of the way
        around the bank, with its `box` and `flipped`, or `colour` (B,) int64.
    """
    own = uniforms[:, SHARED:]
    coin = uniforms[:, 0] if config.shared_coin else own[:, 0]
    params = {"drawn": coin < config.p, "area": constant(config.area, uniforms).expand(len(uniforms), 2)}
    if config.plate != "donor":
        return params | {"colour": torch.full_like(coin, _COLOURS.index(config.plate), dtype=torch.int64)}
    return {**params, "donor": own[:, 1], **arrangement(config.donor, shape, own[:, 2:])}


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Blend the foregrounds over their new backgrounds, mask by mask: m x image + (1 - m) x plate.

    Args:
        batch: with masks, and a bank and rows where donors are wanted.
        params: from `sample`.
        size: ignored.

    Returns:
        The batch with other images and, where it has them, backgrounds; an image that is not drawn, or whose foreground
        is out of `area`, stays bit by bit. Masks stay.

    Raises:
        ValueError: if the batch lacks what is needed.

    Source: BG_RM, BG_Random and BG_Swaps of arXiv 2103.12719, which does not state the order of ops: foreground and
        background have their own crops and flips and soft masks, as in Whac-A-Mole's code (arXiv 2212.04825).
    """
    if batch.masks is None:
        raise ValueError("background needs masks, and the batch has none: take a data set that has them")
    applied = params["drawn"] & visible(batch.masks, *params["area"].unbind(1))
    if "donor" in params:
        plates, lenders = _borrowed(batch, params)
    else:
        plates, lenders = _plain(batch, params), torch.full_like(params["colour"], PLAIN)
    backgrounds = None if batch.backgrounds is None else chosen(applied, plates, batch.backgrounds)
    images = chosen(applied, torch.lerp(plates, batch.images, batch.masks), batch.images)
    own = torch.full_like(lenders, OWN) if batch.lenders is None else batch.lenders
    return replace(batch, images=images, backgrounds=backgrounds, lenders=torch.where(applied, lenders, own))


def _borrowed(batch: Batch, params: Params) -> tuple[Float[Tensor, "B 3 H W"], Int64[Tensor, "B"]]:
    """Another background for every image, and the places of the donors."""
    if batch.bank is None or batch.rows is None:
        raise ValueError("background borrows from a bank, and the batch has none: give it rows and a bank")
    places = other_place(batch.bank, batch.rows, params["donor"])
    plates = fetched(batch.bank.backgrounds, batch.bank.donors[places])
    return arranged(Batch(plates), params, batch).images, places


def _plain(batch: Batch, params: Params) -> Float[Tensor, "B 3 H W"]:
    """One colour everywhere."""
    palette = constant((batch.neutral, _GREY, _BLACK), batch.images)
    return palette[params["colour"]][:, :, None, None].expand_as(batch.images)


def describe(params: Params) -> Float[Tensor, "B 1"]:
    """1 where another background was drawn, 0 where not."""
    return params["drawn"].float()[:, None]


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Whether both views drew another background or both kept theirs.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Binary of (B, 1): 1 where they agree.

    Source: by analogy with the flip; neither AugSelf (arXiv 2111.09613) nor arXiv 2103.12719 predicts it.
    """
    agree = first["background"]["drawn"] == second["background"]["drawn"]
    return Target(agree.float()[:, None], "binary")
