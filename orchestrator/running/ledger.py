"""Where every event of a sweep passes: first onto disk, then into the study, then to whoever watches.

Nothing of Ray is here. The executor asks `next` and tells what happens; killed at any instruction, the next ledger over
the same folder goes on from what is on disk.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import TrialState

from orchestrator.errors import UserError
from orchestrator.folder import DISK_FULL, Record, SweepFolder, TrialFolder
from orchestrator.running.study import End, StoredStudy
from orchestrator.spec.sweep_config import SweepConfig

Values = dict[str, Any]


@dataclass
class Trial:
    """A trial as the watchers see it.

    Args:
        number: from 0, in the order of asking.
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

    @property
    def epoch(self) -> int:
        """The newest epoch reported, 0 before the first."""
        return int(self.reports[-1]["epoch"]) if self.reports else 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come from it."""
        return self.state not in ("waiting", "running")

    def value(self, metric: str) -> float:
        """The newest value of a metric, NaN where it was never reported."""
        return next((float(report[metric]) for report in reversed(self.reports) if metric in report), math.nan)


class Ledger:
    """The state of one sweep, on disk and in memory.

    Args:
        folder: locked by the caller.
        store: the Optuna study.
        sweep: number of trials and metric.
        resolved: makes the complete file of a trial from its number and its searched values.
    """

    def __init__(
        self, folder: SweepFolder, store: StoredStudy, *, sweep: SweepConfig, resolved: Callable[[int, Values], Record]
    ) -> None:
        self.folder, self.sweep = folder, sweep
        self.trials: dict[int, Trial] = {}
        self.closing: str | None = None  # why nothing more is handed out
        self.disk_full = False  # then nothing more is written either
        self._store, self._resolved = store, resolved
        self._watchers: list[Callable[[int], object]] = []
        self._unfinished: list[int] = []
        store.enqueue(sweep.enqueue)
        self._reconcile()

    def watch(self, watcher: Callable[[int], object]) -> None:
        """Has a function called with a trial's number whenever that trial changes; it must return at once."""
        self._watchers.append(watcher)

    @property
    def is_complete(self) -> bool:
        """Whether every trial of the sweep exists and is over."""
        return len(self.trials) >= self.sweep.trials and all(trial.is_over for trial in self.trials.values())

    @property
    def has_run(self) -> bool:
        """Whether this process has seen a trial run."""
        return any(trial.moments for trial in self.trials.values())

    def close(self, reason: str) -> None:
        """Hands out nothing more; of several reasons the first is told."""
        self.closing = self.closing or reason

    def close_full(self, error: str) -> None:
        """Closes a sweep whose disk is full: no trial fails of it, each goes on from what is on disk."""
        self.disk_full = True
        self.close(f"the disk is full ({error}); free some of it, and the same command goes on")

    @contextmanager
    def closed_when_full(self) -> Iterator[None]:
        """Closes the sweep where the block meets a full disk."""
        try:
            yield
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self.close_full(str(error))

    def next(self) -> int | None:
        """The next trial to run: first those that were cut off, then new ones; None when there is nothing left."""
        with self.closed_when_full():
            while self.closing is None:
                if self._unfinished:
                    number = self._unfinished.pop(0)
                elif len(self.trials) < self.sweep.trials:
                    number = self._store.ask()
                else:
                    return None
                if self._prepare(number):
                    return number
        return None

    def started(self, number: int) -> None:
        """A worker has taken the trial."""
        trial = self.trials[number]
        trial.state, trial.moments = "running", [time.monotonic()]
        self._changed(number)

    def report(self, number: int, metrics: Mapping[str, int | float]) -> bool:
        """Takes one epoch of a trial and says whether to stop it; an epoch that is known already changes nothing."""
        trial = self.trials[number]
        if self.disk_full or int(metrics["epoch"]) <= trial.epoch:
            return False
        with self.closed_when_full():
            self.folder.trial(number).append_report(metrics)
            trial.reports.append(dict(metrics))
            trial.moments.append(time.monotonic())
            if self._judge(trial):
                return True
            self._changed(number)
        return False

    def ended(self, number: int) -> None:
        """The trial's worker has returned: it has finished, its end is known already, or the sweep is being closed."""
        trial = self.trials[number]
        unfinished = not trial.reports or not trial.reports[-1]["finished"]
        if trial.is_over or (unfinished and self.closing is not None):
            return
        if unfinished:
            self.failed(number, f"it ended after epoch {trial.epoch} without its last report")
        elif not math.isfinite(trial.value(self.sweep.metric)):
            self.failed(number, f"{self.sweep.metric} was {trial.value(self.sweep.metric)} at the end")
        else:
            self._end(trial, "finished", None)

    def failed(self, number: int, reason: str) -> None:
        """The trial is given up, diverged or crashed too often; the sweep goes on without it."""
        if not self.trials[number].is_over:
            self._end(self.trials[number], "failed", reason)

    def crashed(self, number: int, reason: str) -> None:
        """The trial's worker died; it will be started again from its checkpoint."""
        trial = self.trials[number]
        if not trial.is_over:
            trial.state, trial.reason = "waiting", reason
            self._changed(number)

    def _reconcile(self) -> None:
        on_disk = [folder.number for folder in self.folder.trials()]
        if on_disk and on_disk[-1] >= len(self._store):
            raise UserError(
                f"{self.folder.journal}: it must know every trial, and lacks trial {on_disk[-1]}; "
                "put the file back, or start anew with --fresh"
            )
        for number in range(len(self._store)):
            state = self._store.state(number)
            if state == TrialState.WAITING:
                continue
            folder = self.folder.trial(number)
            if not folder.exists():
                self._unfinished.append(number)
                continue
            self._reopen(folder, closed=state.is_finished())

    def _reopen(self, folder: TrialFolder, *, closed: bool) -> None:
        trial = self._trial(folder)
        self.trials[trial.number] = trial
        result = folder.result()
        if result is not None:
            trial.state, trial.reason = result["state"], result["reason"]
            folder.drop_checkpoints()  # a kill may have come between the two
        if closed:
            return
        for report in trial.reports:
            self._store.report(trial.number, float(report.get(self.sweep.metric, math.nan)), int(report["epoch"]))
        if trial.is_over:
            self._tell(trial)
        elif not self._judge(trial):
            self._unfinished.append(trial.number)

    def _prepare(self, number: int) -> bool:
        """Gives the trial its file; False when its settings turn out to be no legal run."""
        folder = self.folder.trial(number)
        reason = None
        if not folder.exists():
            try:
                folder.write_config(self._resolved(number, self._store.values(number)))
            except UserError as error:
                folder.write_config({"search": {}, "refused": self._store.values(number)})
                reason = str(error)
        trial = self.trials.setdefault(number, self._trial(folder))
        if reason is not None:
            self._end(trial, "failed", reason)
        else:
            self._changed(number)
        return reason is None

    def _trial(self, folder: TrialFolder) -> Trial:
        run = folder.config().get("run")  # None in a trial whose settings were refused
        epochs = run["training"]["epochs"] if run else 0
        return Trial(folder.number, self._store.values(folder.number), epochs, reports=folder.reports())

    def _judge(self, trial: Trial) -> bool:
        """Passes the newest report to the study, and ends the trial if the study gives it up."""
        if not trial.reports or trial.reports[-1]["finished"]:
            return False
        newest = trial.reports[-1]
        epoch, value = int(newest["epoch"]), float(newest.get(self.sweep.metric, math.nan))
        self._store.report(trial.number, value, epoch)
        if not self._store.should_stop(trial.number):
            return False
        self._end(trial, "stopped", f"{self.sweep.metric} {value:.4g} at epoch {epoch} was not among the best")
        return True

    def _end(self, trial: Trial, end: End, reason: str | None) -> None:
        if self.disk_full:
            return
        folder = self.folder.trial(trial.number)
        value = trial.value(self.sweep.metric)
        with self.closed_when_full():
            folder.write_result(
                {
                    "state": end,
                    "reason": reason,
                    "epoch": trial.epoch,
                    "metric": self.sweep.metric,
                    "value": value if math.isfinite(value) else None,
                }
            )
            trial.state, trial.reason = end, reason
            self._tell(trial)
            folder.drop_checkpoints()
            self._changed(trial.number)

    def _tell(self, trial: Trial) -> None:
        assert trial.state not in ("waiting", "running")
        value = trial.value(self.sweep.metric) if trial.state == "finished" else None
        self._store.tell(trial.number, trial.state, value)

    def _changed(self, number: int) -> None:
        for watcher in self._watchers:
            watcher(number)
