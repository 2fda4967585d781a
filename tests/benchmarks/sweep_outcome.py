"""What a search did, and what it cost beside that: the same words for our sweeps and for those of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from orchestrator.config.paths import value_at
from orchestrator.records.folder import SweepFolder, read_records
from orchestrator.storage.path import parse

# What an epoch's report says of time that was not spent on the training itself.
_NO_WORK = ("time/epoch", "time/images_per_second", "time/checkpoint")


@dataclass(frozen=True)
class Trial:
    """What one trial did.

    Args:
        params: its searched settings.
        reports: one for each epoch.
        ended: when its end was known.
    """

    params: Mapping[str, float]
    reports: list[dict[str, float]]
    ended: float

    @property
    def began(self) -> float:
        """When it had been built and made its first step."""
        return self.ended - sum(report["time/epoch"] for report in self.reports)

    @property
    def work(self) -> float:
        """Seconds inside loading, augmentation, training and evaluation, which any search has to spend."""
        seconds = 0.0
        for report in self.reports:
            shares = [share for name, share in report.items() if name.startswith("time/") and name not in _NO_WORK]
            seconds += report["time/epoch"] * sum(shares)
        return seconds


@dataclass(frozen=True)
class Outcome:
    """A search from its command to the prompt.

    Args:
        trials: that it ran.
        at_a_time: how many of them.
        began: when the command was given.
        ended: when the prompt was back.
    """

    trials: list[Trial]
    at_a_time: int
    began: float
    ended: float

    @property
    def to_first_step(self) -> float:
        """Seconds from the command."""
        return min(trial.began for trial in self.trials) - self.began

    @property
    def wall(self) -> float:
        """Seconds from the command to the prompt."""
        return self.ended - self.began

    @property
    def to_prompt(self) -> float:
        """Seconds from the last trial's end."""
        return self.ended - max(trial.ended for trial in self.trials)

    @property
    def epochs(self) -> int:
        """Trained by all trials together."""
        return sum(len(trial.reports) for trial in self.trials)

    @property
    def work(self) -> float:
        """Seconds of a trial, on average."""
        return mean(trial.work for trial in self.trials)

    @property
    def beyond(self) -> float:
        """Seconds that a trial costs beside its work, on average: from the end of the one before it to its own."""
        trials = sorted(self.trials, key=lambda trial: trial.began)
        freed = sorted(trial.ended for trial in trials)  # the places of trials that have ended are taken in this order
        taken = [*(trial.began for trial in trials[: self.at_a_time]), *freed]
        return mean(trial.ended - since - trial.work for trial, since in zip(trials, taken, strict=False))


def peer_trials(log: Path) -> list[Trial]:
    """What a peer has done, by the lines that its objective wrote: `trial`, `params`, `report` and when it `ended`."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for line in read_records(parse(log)):
        lines.setdefault(line["trial"], []).append(line)
    return [Trial(own[0]["params"], [line["report"] for line in own], own[-1]["ended"]) for own in lines.values()]


def own_trials(folder: SweepFolder, searched: tuple[str, ...]) -> list[Trial]:
    """What a sweep of ours has done, by its folder; a trial has ended when its result is written."""
    return [
        Trial(
            {path: value_at(trial.config()["run"], path) for path in searched},
            trial.reports(),
            Path(str(trial.result_file)).stat().st_mtime,
        )
        for trial in folder.trials()
    ]
