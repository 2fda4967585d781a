"""The nouns of augmentation: a batch of images, a view of it, and the recipe that makes one from the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from augment.config import Config

# One op's parameters, by name; every tensor's leading dimension is the batch.
Params = Mapping[str, Tensor]


@dataclass(frozen=True)
class Bank:
    """Images of a data set, resident on the device, from which a view may borrow a background or a foreground.

    All of them, or a sample. Only images with a usable mask lend: the foreground of the others is unknown.
    `augment.separation` makes it.

    Args:
        images: 0 to 255, (N, 3, H, W).
        masks: their foreground coverage, 0 to 255, (N, 1, H, W); all 0 where it is not usable.
        backgrounds: the images with the hole of their foreground filled, 0 to 255, (N, 3, H, W).
        donors: those of the images that lend, ascending, (M,).
        places: of each row of the data set among the donors, or for a row that does not lend, where it would be, in
            [0, M), (R,).
    """

    images: UInt8[Tensor, "N 3 H W"]
    masks: UInt8[Tensor, "N 1 H W"]
    backgrounds: UInt8[Tensor, "N 3 H W"]
    donors: Int64[Tensor, "M"]
    places: Int64[Tensor, "R"]


@dataclass(frozen=True)
class Batch:
    """Images on their way through the ops.

    Args:
        images: float, in [0, 1], (B, 3, H, W).
        masks: foreground coverage in [0, 1], (B, 1, H, W), or None where the data set has no masks.
        backgrounds: the images without their foreground, in [0, 1], (B, 3, H, W), or None if no step needs it.
        rows: row of each image in the data set, (B,), or None.
        lenders: whose background it is, as a place among the bank's donors, -1 for the image's own, -2 for none, -3
            where what is behind its foreground is not known, (B,), or None where each image has its own.
        bank: where ops may borrow from, or None.
        neutral: the colour, in [0, 1], that a view's normalisation maps to 0.
    """

    images: Float[Tensor, "B 3 H W"]
    masks: Float[Tensor, "B 1 H W"] | None = None
    backgrounds: Float[Tensor, "B 3 H W"] | None = None
    rows: Int64[Tensor, "B"] | None = None
    lenders: Int64[Tensor, "B"] | None = None
    bank: Bank | None = None
    neutral: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def moved(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch after one geometric change of everything that has a place in the image.

        Args:
            move: from (B, C, H, W) to (B, C, H2, W2).
        """
        planes = {"images": self.images, "masks": self.masks, "backgrounds": self.backgrounds}
        return replace(self, **{name: move(plane) for name, plane in planes.items() if plane is not None})


@dataclass(frozen=True)
class Step:
    """One op of a recipe, bound to its settings.

    Args:
        name: the op's file name in `augment/ops`; also its key in `View.params` and in the random streams.
        op: the op's module (`Config, SLOTS, sample, apply, describe, compare`; where it has them, `SHARED`, the number
            of its first slots that are the same for all views of an image, `RESIZES`, whether it gives a view its size,
            and `needs(config)`, the fields of a `Batch` besides the images that it reads).
        config: the op's own `Config`.
    """

    name: str
    op: ModuleType
    config: Config


@dataclass(frozen=True)
class ViewSpec:
    """What a method asks for when it wants a view.

    Args:
        recipe: names of the recipes whose steps are applied one after the other.
        parent: the view this one starts from (sharing its crop, flip and background), or None for the source image.
        size: side of the output in pixels, or None for the size of the source.
        after: the recipe of the parent after which this view leaves it, or None to start from the finished parent.
    """

    recipe: tuple[str, ...]
    parent: str | None = None
    size: int | None = None
    after: str | None = None


@dataclass(frozen=True)
class View:
    """A batch seen through one recipe.

    Args:
        images: normalised with the data set's mean and standard deviation, (B, 3, S, S).
        params: the parameters of every op that made it, its ancestors' included, by op name.
        masks: the foreground coverage after the same geometry, or None.
    """

    images: Float[Tensor, "B 3 S S"]
    params: Mapping[str, Params] = field(default_factory=dict)
    masks: Float[Tensor, "B 1 S S"] | None = None


def joined(views: Sequence[View], images: Float[Tensor, "B 3 S S"]) -> View:
    """Views of the batches that follow one another, made by one recipe, as one.

    Args:
        views: one or more.
        images: all of theirs.
    """
    if len(views) == 1:
        return replace(views[0], images=images)
    params = {
        op: {key: torch.cat([view.params[op][key] for view in views]) for key in first}
        for op, first in views[0].params.items()
    }
    masks = [view.masks for view in views if view.masks is not None]
    return View(images, params, torch.cat(masks) if masks else None)


@dataclass(frozen=True)
class Target:
    """What AugSelf predicts for an ordered pair of views.

    Args:
        values: (B, d) float for regression and binary, (B,) int64 for classes.
        kind: how the prediction is scored.
    """

    values: Tensor
    kind: Literal["regression", "binary", "classes"]
