"""How numbers, settings and leaders are put into words, the same in the table, the lines and the summary."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.running.ledger import Trial
from orchestrator.spec.sweep_config import SweepConfig
from orchestrator.standings import rank


def number(value: float) -> str:
    """A metric in four digits, a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun in the right number."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def settings(values: Mapping[str, Any]) -> str:
    """Searched settings in one line, each by the shortest end of its path that names it alone."""
    return " ".join(f"{_short(path, values)}={_value(value)}" for path, value in values.items())


def best(trials: Iterable[Trial], sweep: SweepConfig) -> Trial | None:
    """The finished trial that leads, or None before the first; those stopped early do not compete."""
    finished = [trial for trial in trials if trial.state == "finished"]
    return min(finished, key=lambda trial: rank(trial.value(sweep.metric), trial.number, sweep.mode), default=None)


def _short(path: str, paths: Iterable[str]) -> str:
    parts = path.split(".")
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if sum(other.split(".")[-length:] == end for other in paths) == 1:
            return ".".join(end)
    return path


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
