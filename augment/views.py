"""The nouns of augmentation: a batch of images, a view of it, and the recipe that makes one from the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from augment.config import Config

# One op's parameters, by name; every tensor's leading dimension is the batch.
Params = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Images on their way through the ops.

    Args:
        images: float, in [0, 1], (B, 3, H, W).
        masks: foreground coverage in [0, 1], (B, 1, H, W), or None where the data set has no masks.
    """

    images: Float[Tensor, "B 3 H W"]
    masks: Float[Tensor, "B 1 H W"] | None = None


@dataclass(frozen=True)
class Step:
    """One op of a recipe, bound to its settings.

    Args:
        name: the op's file name in `augment/ops`; also its key in `View.params` and in the random streams.
        op: the op's module (`Config, SLOTS, sample, apply, describe, compare`).
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
    """

    recipe: tuple[str, ...]
    parent: str | None = None
    size: int | None = None


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


@dataclass(frozen=True)
class Target:
    """What AugSelf is asked to predict of an ordered pair of views.

    Args:
        values: (B, d) float for regression and binary, (B,) int64 for classes.
        kind: how the prediction is scored.
    """

    values: Tensor
    kind: Literal["regression", "binary", "classes"]
