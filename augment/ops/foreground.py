"""Another image's foreground on the background of this one: a hard negative for features that rely on backgrounds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from augment import borrowing
from augment import config as base
from augment.borrowing import UNKNOWN, Geometry, arranged, arrangement, chosen, fetched, other_place, visible
from augment.constants import constant
from augment.separation import AREA, Area
from augment.views import Batch, Params, Target

SLOTS = 2 + borrowing.SLOTS  # the coin, and the other image
TARGET_WIDTH = 1


class Config(base.Config):
    """How often the other image is put on this one's background, and how.

    Args:
        matched: probability that it does; otherwise the other image is shown with its own background.
        cut: whose outline it has: `paste` puts the other image's foreground before this image's completed background;
            `fill` keeps this image's background as it is, and shows the other image through the hole of the foreground.
        area: smallest and largest share of foreground in a view with which the above is done; where the foreground that
            is cut out has another one, the other image is shown with its own background too.
        donor: how the other image is cropped and flipped.
    """

    matched: base.Probability = 0.2
    cut: Literal["paste", "fill"] = "paste"
    area: Area = AREA
    donor: Geometry = Geometry()


def needs(config: Config) -> frozenset[str]:
    """The fields of a batch, besides its images, that `apply` reads."""
    return frozenset({"bank", "backgrounds"} if config.cut == "paste" else {"bank", "masks"})


def sample(config: Config, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw the other images, and which of them are put on this image's background.

    Args:
        config: how often, and how.
        shape: height and width of the view in pixels.
        uniforms: `SLOTS` numbers per image in [0, 1).

    Returns:
        `paste` or `fill` (B,) bool, the cut's name: whether the other image is put on this one's background;
        `other` (B,) in [0, 1), the share of the way around the bank; `area` (B, 2); its `box` and `flipped`. Nothing is
        the identity.
    """
    return {
        config.cut: uniforms[:, 0] < config.matched,
        "other": uniforms[:, 1],
        "area": constant(config.area, uniforms).expand(len(uniforms), 2),
        **arrangement(config.donor, shape, uniforms[:, 2:]),
    }


def apply(batch: Batch, params: Params, size: int | None = None) -> Batch:
    """Show another image: not this one, nor the lender of its background.

    With r the other image, q this one and m their masks, `paste` gives m_r r + (1 - m_r) x background of q, and `fill`
    gives m_q r + (1 - m_q) q. Where neither is drawn, m is out of `area`, or the background of q is not known, it is r
    as it is: an ordinary further negative, so that every query has equally many.

    Args:
        batch: with rows, a bank and, to paste, backgrounds, to fill, masks.
        params: from `sample`.
        size: ignored.

    Returns:
        Images and their masks; backgrounds are dropped.

    Raises:
        ValueError: if the batch lacks what is needed.

    Source: BG_Swaps of arXiv 2103.12719: other content on the query's background. Its formula is known second-hand, as
        `fill`, in which the other content has the query's outline and r is not explained; `paste` is what the words
        say.
    """
    bank, rows = batch.bank, batch.rows
    if bank is None or rows is None:
        raise ValueError("foreground borrows from a bank, and the batch has none: give it rows and a bank")
    others = bank.donors[other_place(bank, rows, params["other"], lenders=batch.lenders)]
    other = arranged(Batch(fetched(bank.images, others), fetched(bank.masks, others)), params, batch)
    assert other.masks is not None
    if "fill" in params:
        drawn, masks, behind = params["fill"], batch.masks, batch.images
    else:
        drawn, masks, behind = params["paste"], other.masks, batch.backgrounds
        if batch.lenders is not None:
            drawn = drawn & (batch.lenders != UNKNOWN)
    if masks is None or behind is None:
        raise ValueError("foreground needs masks and backgrounds, and the batch lacks one: take them from the bank")
    matched = drawn & visible(masks, *params["area"].unbind(1))
    return replace(
        batch,
        images=chosen(matched, torch.lerp(behind, other.images, masks), other.images),
        masks=chosen(matched, masks, other.masks),
        backgrounds=None,
        lenders=None,
    )


def describe(params: Params) -> Float[Tensor, "B 2"]:
    """1, since the image is always another one; and 1 where it is drawn on this one's background, else 0."""
    matched = _matched(params).float()
    return torch.stack((torch.ones_like(matched), matched), dim=1)


def compare(first: Mapping[str, Params], second: Mapping[str, Params]) -> Target:
    """Whether both views drew this image's background, or neither.

    Args:
        first: parameters of all ops of the first view, by op name.
        second: parameters of all ops of the second view, by op name.

    Returns:
        Binary of (B, 1): 1 where they agree.

    Source: by analogy with the flip; a negative is in no pair that AugSelf (arXiv 2111.09613) predicts.
    """
    agree = _matched(first["foreground"]) == _matched(second["foreground"])
    return Target(agree.float()[:, None], "binary")


def _matched(params: Params) -> Bool[Tensor, "B"]:
    return params["fill"] if "fill" in params else params["paste"]
