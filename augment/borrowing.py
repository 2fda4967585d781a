"""Shared by the ops that put one image's foreground on another one's background."""

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from augment import boxes
from augment import config as base
from augment.views import Bank, Batch, Params

SLOTS = boxes.SLOTS + 1  # where a donor is cropped, and whether it is flipped

# In `Batch.lenders`: the background is the image's own; it is no image's (a plain colour); it is unknown, because the
# image has no usable mask.
OWN, PLAIN, UNKNOWN = -1, -2, -3


class Geometry(base.Config):
    """The crop and flip of what a view borrows, drawn independently of the view's own.

    Args:
        box: of the crop.
        flip: probability of being mirrored.
    """

    box: boxes.Config = boxes.Config()
    flip: base.Probability = 0.5


def arrangement(config: Geometry, shape: tuple[int, int], uniforms: Float[Tensor, "B slots"]) -> Params:
    """Draw a crop and a flip, `box` (B, 4) and `flipped` (B,), for views of a shape from `SLOTS` numbers in [0, 1)."""
    box, coin = uniforms[:, : boxes.SLOTS], uniforms[:, boxes.SLOTS]
    return {"box": boxes.drawn(config.box, shape, box), "flipped": coin < config.flip}


def other_place(
    bank: Bank, rows: Int64[Tensor, "B"], drawn: Float[Tensor, "B"], *, lenders: Int64[Tensor, "B"] | None = None
) -> Int64[Tensor, "B"]:
    """A donor for each row, neither its own image nor the lender of its background, and all others alike.

    Args:
        bank: of donors.
        rows: of the images, in the data set.
        drawn: uniform, in [0, 1).
        lenders: of the images' backgrounds, as in a batch.

    Returns:
        Places among the donors, in [0, M).
    """
    own, count = bank.places[rows], len(bank.donors)
    # In double: a float32 product may round up to the count itself, which would lead back to the own place.
    if lenders is None:
        return (own + 1 + (drawn.double() * (count - 1)).long()) % count
    borrowed = lenders >= 0
    steps = 1 + (drawn.double() * (count - 1 - borrowed.long())).long()
    steps += (borrowed & (steps >= (lenders - own) % count)).long()  # over the lender
    return (own + steps) % count


def visible(
    masks: Float[Tensor, "B 1 H W"], smallest: Float[Tensor, "B"] | float, largest: Float[Tensor, "B"] | float
) -> Bool[Tensor, "B"]:
    """Whether the share of foreground in a view lies in a closed interval: of that view, or the same for all."""
    share = masks.mean((1, 2, 3))
    return (share >= smallest) & (share <= largest)


def fetched(planes: UInt8[Tensor, "N C H W"], rows: Int64[Tensor, "B"]) -> Float[Tensor, "B C H W"]:
    """Some planes of a bank, in [0, 1]."""
    return planes[rows].float() / 255


def arranged(borrowed: Batch, params: Params, like: Batch) -> Batch:
    """What was borrowed, cropped and flipped as `arrangement` drew, in the size of the batch that borrows."""
    height, width = borrowed.images.shape[-2:]
    side = like.images.shape[-1]
    flipped = params["flipped"][:, None, None, None]
    cropped = borrowed.moved(boxes.resampling(params["box"], (height, width), None if side == width else side))
    return cropped.moved(lambda plane: torch.where(flipped, plane.flip(-1), plane))


def chosen(which: Bool[Tensor, "B"], yes: Tensor, no: Tensor) -> Tensor:
    """Whole images of `yes` or of `no`, bit by bit."""
    return torch.where(which[:, None, None, None], yes, no)
