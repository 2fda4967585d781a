"""No early stopping: every trial gets its full budget."""

from collections.abc import Mapping

from augment.config import Config as BaseConfig


class Config(BaseConfig):
    """Nothing to configure.

    Args:
        name: `none`.
    """

    name: str = "none"


def rungs(config: Config, epochs: int) -> list[int]:
    """None."""
    return []


def should_stop(config: Config, number: int, costs: Mapping[int, float]) -> bool:
    """Never."""
    return False
