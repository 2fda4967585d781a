"""Formats numbers, settings, leaders and errors, the same way in the table, the lines and the summary."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import LESS_MEMORY
from orchestrator.records.leaderboard import front
from orchestrator.search.trial_state import Trial


def number(value: float) -> str:
    """A metric with four digits; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun in the right number."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def settings(values: Mapping[str, Any]) -> str:
    """Searched settings in one line, each named by the shortest unambiguous end of its path."""
    return " ".join(f"{_short(path, values)}={_value(value)}" for path, value in values.items())


def leading(trials: Iterable[Trial], sweep: SweepConfig) -> list[Trial]:
    """The leading finished trials, empty before the first; trials stopped early and repeats do not compete.

    One leads a search for one metric; for several it is a Pareto front, the best by the first metric first.
    """
    finished = {trial.number: trial for trial in trials if trial.state == "finished" and not trial.is_repeat}
    scores = {number: trial.values_of(sweep.goals) for number, trial in finished.items()}
    return [finished[number] for number in front(scores, sweep.goals)]


def numbered(trials: Sequence[Trial]) -> str:
    """Trials by their numbers."""
    return ("trial " if len(trials) == 1 else "trials ") + ", ".join(str(trial.number) for trial in trials)


def with_error(report: Mapping[str, int | float], metric: str) -> str:
    """A metric of one report with its standard error if it has one; a dash if it was not reported."""
    if metric not in report:
        return "-"
    error = report.get(f"{metric}_se")
    return number(float(report[metric])) + (f" ± {error:.2g}" if error is not None else "")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as indented lines whose columns stand below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def last_error(text: str) -> str:
    """The last failure in a trial's error file, in one line."""
    last = re.split(r"^Failure # \d+ \(occurred at .*\)$", text, flags=re.MULTILINE)[-1].strip()
    if "low on memory" in last or "OutOfMemoryError" in last:
        return f"its node or GPU ran out of memory; {LESS_MEMORY}"
    if "actor died" in last:
        return "its worker process died"
    named = re.findall(r"^[A-Za-z_][\w.]*(?:: .*)?$", last, re.MULTILINE)  # as a traceback ends: Error: message
    return named[-1] if named else last.rpartition("\n")[2]


def _short(path: str, paths: Iterable[str]) -> str:
    parts = path.split(".")
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if sum(other.split(".")[-length:] == end for other in paths) == 1:
            return ".".join(end)
    return path


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
