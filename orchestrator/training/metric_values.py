"""What a metric's module returns, checked: a user's own may return NumPy or torch scalars, or fail."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.errors import UserError

_RESERVED = ("epoch", "finished", "lr")  # what every report holds besides metrics; and all below `time/`


class MetricError(UserError):
    """A metric failed, or returned what is not a number; the message names the metric and, in one line, the reason."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"run.evaluation.{name}: {' '.join(reason.split())}")


def checked(name: str, found: object, expected: Sequence[str]) -> dict[str, int | float]:
    """Values of a metric as Python's own numbers.

    Args:
        name: of the metric's module, as a study names it.
        found: what its `evaluate` returned.
        expected: its `METRICS`.

    Raises:
        MetricError: if it is not a mapping of names to numbers, or lacks one.
    """
    if not isinstance(found, Mapping):
        raise MetricError(name, f"evaluate must return a mapping {{metric: number}}, not {type(found).__name__}")
    if missing := [metric for metric in expected if metric not in found]:
        raise MetricError(name, f"evaluate must return every metric of METRICS; {', '.join(missing)} is missing")
    return {_key(name, metric): _number(name, metric, value) for metric, value in found.items()}


def _key(name: str, metric: object) -> str:
    if not isinstance(metric, str):
        raise MetricError(name, f"the name of a metric must be a string, not {metric!r}")
    if metric in _RESERVED or metric.startswith("time/"):
        raise MetricError(name, f"the metric name {metric} is reserved; choose another")
    return metric


def _number(name: str, metric: str, value: Any) -> int | float:
    if hasattr(value, "item") and getattr(value, "size", None) is not None:  # an array, a tensor, or a scalar of these
        size = value.size if isinstance(value.size, int) else value.numel()
        value = value.item() if size == 1 else value
    if isinstance(value, numbers.Integral):
        return int(value)
    try:
        if isinstance(value, str | bytes | complex):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        shown = repr(value) if len(repr(value)) <= 60 else type(value).__name__
        raise MetricError(name, f"the metric {metric} must be a number, not {shown}") from error
