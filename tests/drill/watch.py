"""Observes a sweep through its folder: its progress at a fault, and when it resumes."""

import re
import time
from dataclasses import dataclass

from orchestrator.records.folder import TrialFolder
from tests.orchestrator.command import Command

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.pt")


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment.

    Args:
        at: Seconds since the Unix epoch.
        ended: By number of each ended trial, a value that distinguishes its result from any written later.
        epochs: By number of each other trial, its newest reported epoch.
        checkpoints: By number of each other trial and by step, when each checkpoint was written.
    """

    at: float
    ended: dict[int, tuple[str, str]]
    epochs: dict[int, int]
    checkpoints: dict[int, dict[int, float]]


def take(command: Command) -> Snapshot:
    """Take a snapshot of a sweep."""
    trials = command.sweep.trials()
    going = [trial for trial in trials if not trial.result_file.exists()]
    return Snapshot(
        time.time(),
        {trial.number: end(trial) for trial in trials if trial.result_file.exists()},
        {trial.number: trial.last_epoch() for trial in going},
        {trial.number: checkpoints(trial) for trial in going},
    )


def end(trial: TrialFolder) -> tuple[str, str]:
    """The result of a trial, and the version of its file."""
    return trial.result_file.version(), trial.result_file.read_text(encoding="utf-8")


def checkpoints(trial: TrialFolder) -> dict[int, float]:
    """When each existing checkpoint of a trial was written, by step."""
    found = {}
    for path in trial.path.glob("checkpoint-*.pt"):
        match = _CHECKPOINT.fullmatch(path.name)
        try:
            if match:
                found[int(match[1])] = path.modified() / 1e9
        except FileNotFoundError:  # a newer checkpoint has replaced it
            continue
    return found


@dataclass(frozen=True)
class Resumption:
    """How one trial resumed after a fault.

    Args:
        number: Number of the trial.
        step: Step of the checkpoint that it resumed from; 0 if it started again.
        lost: Seconds of repeated work; all since the trial's start if the checkpoint is not known.
    """

    number: int
    step: int
    lost: float


class Watch:
    """Detects the checkpoints that a sweep writes after a snapshot; poll it often enough to see each one.

    Args:
        command: Command of the sweep.
        before: The snapshot.
        epoch_steps: Steps between two checkpoints.
    """

    def __init__(self, command: Command, before: Snapshot, epoch_steps: int) -> None:
        self._command, self._before, self._epoch_steps = command, before, epoch_steps
        self.resumed: dict[int, Resumption] = {}

    def look(self) -> bool:
        """Whether every trial running at the snapshot has resumed or ended so far."""
        for number, known in self._before.checkpoints.items():
            new = {
                step: at for step, at in checkpoints(self._command.sweep.trial(number)).items() if at != known.get(step)
            }
            if new and number not in self.resumed:
                step = min(new) - self._epoch_steps
                self.resumed[number] = self._resumption(number, step)
        return all(
            number in self.resumed or self._command.sweep.trial(number).result_file.exists()
            for number in self._before.epochs
        )

    def _resumption(self, number: int, step: int) -> Resumption:
        began = self._command.sweep.trial(number).config_file.modified() / 1e9
        since = self._before.checkpoints[number].get(step, began)
        return Resumption(number, step, max(0.0, self._before.at - since))
