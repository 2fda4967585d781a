"""Random search: every trial's settings are independent of all others."""

from typing import TYPE_CHECKING

from augment.config import Config as BaseConfig
from orchestrator.search.samplers import Seeds

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Config(BaseConfig):
    """Nothing to configure.

    Args:
        name: `random`.
    """

    name: str = "random"


def sampler(config: Config, seeds: Seeds) -> "BaseSampler":
    """Optuna's random sampler."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seeds.draw)
