"""The trials of a search and their overhead, in one form for our sweeps and for those of peers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from orchestrator.config.paths import value_at
from orchestrator.records.folder import SweepFolder, read_records
from orchestrator.storage.path import parse

# Report fields with time that is not part of training itself.
_NO_WORK = ("time/epoch", "time/images_per_second", "time/checkpoint")


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Args:
        params: Its searched settings.
        reports: One report per epoch.
        ended: When its end was recorded, in seconds since the Unix epoch.
    """

    params: Mapping[str, float]
    reports: list[dict[str, float]]
    ended: float

    @property
    def began(self) -> float:
        """Time of its first step, after it was built."""
        return self.ended - sum(report["time/epoch"] for report in self.reports)

    @property
    def work(self) -> float:
        """Seconds of loading, augmentation, training and evaluation, which any search must spend."""
        seconds = 0.0
        for report in self.reports:
            shares = [share for name, share in report.items() if name.startswith("time/") and name not in _NO_WORK]
            seconds += report["time/epoch"] * sum(shares)
        return seconds


@dataclass(frozen=True)
class Outcome:
    """A search from its command to the prompt.

    Args:
        trials: The trials that it ran.
        at_a_time: Number of concurrent trials.
        began: When the command started, in seconds since the Unix epoch.
        ended: When the command returned.
    """

    trials: list[Trial]
    at_a_time: int
    began: float
    ended: float

    @property
    def to_first_step(self) -> float:
        """Seconds from the command to the first step."""
        return min(trial.began for trial in self.trials) - self.began

    @property
    def wall(self) -> float:
        """Seconds from the command to the prompt."""
        return self.ended - self.began

    @property
    def to_prompt(self) -> float:
        """Seconds from the last trial's end to the prompt."""
        return self.ended - max(trial.ended for trial in self.trials)

    @property
    def epochs(self) -> int:
        """Number of epochs trained by all trials together."""
        return sum(len(trial.reports) for trial in self.trials)

    @property
    def work(self) -> float:
        """Mean seconds of work per trial."""
        return mean(trial.work for trial in self.trials)

    @property
    def beyond(self) -> float:
        """Mean overhead of a trial in seconds: from the previous trial's end to its own, minus its work."""
        trials = sorted(self.trials, key=lambda trial: trial.began)
        freed = sorted(trial.ended for trial in trials)  # later trials take the slots of ended trials in this order
        taken = [*(trial.began for trial in trials[: self.at_a_time]), *freed]
        return mean(trial.ended - since - trial.work for trial, since in zip(trials, taken, strict=False))


def peer_trials(log: Path) -> list[Trial]:
    """A peer's trials, read from its objective's log lines: `trial`, `params`, `report`, `ended`."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for line in read_records(parse(log)):
        lines.setdefault(line["trial"], []).append(line)
    return [Trial(own[0]["params"], [line["report"] for line in own], own[-1]["ended"]) for own in lines.values()]


def own_trials(folder: SweepFolder, searched: tuple[str, ...]) -> list[Trial]:
    """The trials of one of our sweeps, read from its folder; a trial ends when its result is written."""
    return [
        Trial(
            {path: value_at(trial.config()["run"], path) for path in searched},
            trial.reports(),
            Path(str(trial.result_file)).stat().st_mtime,
        )
        for trial in folder.trials()
    ]
