"""What can be seen of a sweep through its folder: where it was when it was struck, and when it went on."""

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
        at: seconds since the Unix epoch.
        ended: by the numbers of the trials that are over, what tells their results from any written later.
        epochs: by the numbers of the others, their newest reported epoch.
        checkpoints: by the same numbers, by step, when each was written.
    """

    at: float
    ended: dict[int, tuple[str, str]]
    epochs: dict[int, int]
    checkpoints: dict[int, dict[int, float]]


def take(command: Command) -> Snapshot:
    """Where a sweep is now."""
    trials = command.sweep.trials()
    going = [trial for trial in trials if not trial.result_file.exists()]
    return Snapshot(
        time.time(),
        {trial.number: end(trial) for trial in trials if trial.result_file.exists()},
        {trial.number: trial.last_epoch() for trial in going},
        {trial.number: checkpoints(trial) for trial in going},
    )


def end(trial: TrialFolder) -> tuple[str, str]:
    """The result of a trial, and which writing of it this is."""
    return trial.result_file.version(), trial.result_file.read_text(encoding="utf-8")


def checkpoints(trial: TrialFolder) -> dict[int, float]:
    """When each checkpoint of a trial that is there was written, by its step."""
    found = {}
    for path in trial.path.glob("checkpoint-*.pt"):
        match = _CHECKPOINT.fullmatch(path.name)
        try:
            if match:
                found[int(match[1])] = path.modified() / 1e9
        except FileNotFoundError:  # a newer one has taken its place
            continue
    return found


@dataclass(frozen=True)
class Resumption:
    """How one trial went on after it was struck.

    Args:
        number: of the trial.
        step: of the checkpoint that it went on from, 0 where it began anew.
        lost: seconds of work that were done again, all since its start if the checkpoint is not known.
    """

    number: int
    step: int
    lost: float


class Watch:
    """Sees which checkpoints a sweep writes after a snapshot, looking often enough that none comes and goes unseen.

    Args:
        command: the sweep.
        before: the snapshot.
        epoch_steps: between two checkpoints.
    """

    def __init__(self, command: Command, before: Snapshot, epoch_steps: int) -> None:
        self._command, self._before, self._epoch_steps = command, before, epoch_steps
        self.resumed: dict[int, Resumption] = {}

    def look(self) -> bool:
        """Whether every trial that was struck has gone on or ended, as far as can be seen now."""
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
