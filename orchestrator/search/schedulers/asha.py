"""ASHA (asynchronous successive halving): at each rung only the best share of the trials so far continues."""

import math
from collections.abc import Mapping

from pydantic import Field

from augment.config import Config as BaseConfig


class Config(BaseConfig):
    """Where the rungs are, and how many trials continue at each.

    Args:
        name: `asha`.
        grace: share of the epoch budget before the first rung, in (0, 1].
        reduction: one of so many trials continues at each rung; also the ratio between rungs.
    """

    name: str = "asha"
    grace: float = Field(default=1 / 3, gt=0, le=1)
    reduction: int = Field(default=2, ge=2)


def rungs(config: Config, epochs: int) -> list[int]:
    """The first rung after the grace, each further one `reduction` times as late, all before the last epoch."""
    found = [max(1, math.ceil(config.grace * epochs))]
    while found[-1] * config.reduction < epochs:
        found.append(found[-1] * config.reduction)
    return [rung for rung in found if rung < epochs]


def should_stop(config: Config, number: int, costs: Mapping[int, float]) -> bool:
    """Of the n trials that have reached the rung, the best max(1, floor(n / reduction)) continue.

    Among equal costs the trial with the lower number comes first.

    Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), algorithm 2, without the
        promotion of stopped trials, as in Ray Tune and Optuna.
    """
    ranked = sorted(costs, key=lambda other: (costs[other], other))
    return ranked.index(number) >= max(1, len(ranked) // config.reduction)
