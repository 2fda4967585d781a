"""What is measured during a training, one file per metric.

Each defines `Config`, `METRICS` and `evaluate(encode, splits, config) -> {metric: value}`. A module may also define
`SPLITS`, if it reads others than `DEFAULT_SPLITS`, `NEEDS_LABELS`, and `RETIRED`, which maps its metrics of earlier
versions to those that replace them.

Shares are in per cent. A protocol's name ends in its version; whatever could change its numbers is a constant in the
module, not a setting.
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
