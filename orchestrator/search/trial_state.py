"""The state of a trial, as watchers of a sweep see it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.config.sweep import Goal
from orchestrator.core.trial_number import origin_and_place
from orchestrator.records.folder import Record, TrialFolder

Values = dict[str, Any]
End = Literal["finished", "stopped", "failed"]


@dataclass
class Trial:
    """A trial as watchers see it.

    Args:
        number: from 0, in the order of asking; a repeat's names its trial and its seed, see
            `orchestrator.core.trial_number`.
        values: the searched settings, by dotted path.
        epochs: its budget.
        state: `waiting` for a free worker, `running`, or how it ended.
        reports: one per epoch so far.
        reason: why it ended before its time, or why it is being tried again.
        moments: process clock in seconds at the start and at each epoch reported while this process runs.
    """

    number: int
    values: Values
    epochs: int
    state: Literal["waiting", "running"] | End = "waiting"
    reports: list[Record] = field(default_factory=list)
    reason: str | None = None
    moments: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, folder: TrialFolder, values: Values) -> "Trial":
        """A trial read from its folder; one with invalid settings has no budget."""
        run, result = folder.config().get("run"), folder.result() or {"state": "waiting", "reason": None}
        epochs = run["training"]["epochs"] if run else 0
        return cls(folder.number, values, epochs, result["state"], folder.reports(), result["reason"])

    @property
    def is_repeat(self) -> bool:
        """Whether it repeats a trial of the search with another seed."""
        return origin_and_place(self.number)[1] > 0

    @property
    def epoch(self) -> int:
        """The newest epoch reported, 0 before the first."""
        return int(self.reports[-1]["epoch"]) if self.reports else 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ("waiting", "running")

    def value(self, metric: str) -> float:
        """The newest value of a metric, NaN where it was never reported."""
        return next((float(report[metric]) for report in reversed(self.reports) if metric in report), math.nan)

    def values_of(self, goals: Sequence[Goal]) -> tuple[float, ...]:
        """The newest value of each goal's metric, NaN where it was never reported."""
        return tuple(self.value(goal.metric) for goal in goals)
