"""One file per evaluation: `Config`, `METRICS` and `evaluate(encode, splits, config) -> {metric: value}`.

A module may also say which `SPLITS` it reads, if not `DEFAULT_SPLITS`, and that it `NEEDS_LABELS`.

Shares are in percent. A protocol's name ends in its version, and whatever could move its numbers is a constant beside
it, not a setting.
"""

from typing import Annotated

from pydantic import Field

from augment import config

DEFAULT_SPLITS = ("bank", "validation")

Every = Annotated[int, Field(ge=1)] | None


class Timing(config.Config):
    """When an evaluation is made; the base of every evaluation's `Config`.

    Args:
        every: epochs between two, or None for one after the last epoch only (where there always is one).
    """

    every: Every = None

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether to evaluate after this epoch (from 1)."""
        return epoch == epochs or (self.every is not None and epoch % self.every == 0)
