"""The ledger: every event of a sweep is written to disk first, then passed to the study, then to the watchers.

It knows nothing of Ray. The executor calls `next` for a trial and reports events. If the process is killed at any
instruction, the next ledger over the same folder continues from what is on disk.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import TrialState

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.records.folder import Record, SweepFolder
from orchestrator.search.confirmation_runs import Repeats
from orchestrator.search.retention import Retention
from orchestrator.search.stopping import Closing
from orchestrator.search.study import StoredStudy
from orchestrator.search.trial_source import Source
from orchestrator.search.trial_state import End, Trial, Values
from orchestrator.training.messages import given_up, storage_failure, unpack


class Ledger(Closing):
    """The state of one sweep, on disk and in memory.

    Args:
        folder: locked by the caller.
        store: the Optuna study.
        sweep: number of trials, metrics, and what to confirm.
        resolved: makes the complete file of a trial from its number and its searched values.
    """

    def __init__(
        self, folder: SweepFolder, store: StoredStudy, *, sweep: SweepConfig, resolved: Callable[[int, Values], Record]
    ) -> None:
        super().__init__()
        self.folder, self.sweep = folder, sweep
        self.trials: dict[int, Trial] = {}
        self._store, self._resolved = store, resolved
        self._metric = sweep.goals[0].metric  # what early stops look at
        self._watchers: list[Callable[[int], object]] = []
        self.repeats: Repeats | None = None  # what confirms the search, known once that is over
        self._unfinished: list[int] = []
        self._retention = Retention(folder, sweep)
        store.enqueue(sweep.enqueue)
        self._reconcile()

    def watch(self, watcher: Callable[[int], object]) -> None:
        """Call a function with a trial's number whenever that trial changes; it must return at once."""
        self._watchers.append(watcher)

    @property
    def searched(self) -> dict[int, Trial]:
        """The trials of the search by number, without their repeats."""
        # Of a copy, since the live table asks from a thread of its own while trials are added.
        return {number: trial for number, trial in self.trials.copy().items() if not trial.is_repeat}

    @property
    def is_searched(self) -> bool:
        """Whether every trial of the search exists and is over."""
        return len(self.searched) >= self.sweep.trials and all(trial.is_over for trial in self.searched.values())

    @property
    def is_complete(self) -> bool:
        """Whether the search and every repeat that confirms it are over."""
        if not self.is_searched or self.sweep.confirm is None:
            return self.is_searched
        return self.repeats is not None and all(
            number in self.trials and self.trials[number].is_over for number in self.repeats.numbers
        )

    @property
    def is_handed_out(self) -> bool:
        """Whether `next` will return no further trial, even after running trials end."""
        unknown = self.sweep.confirm is not None and self.repeats is None
        left = bool(self._unfinished) or len(self.searched) < self.sweep.trials or unknown
        return self.closing is not None or not left

    @property
    def has_run(self) -> bool:
        """Whether this process has seen a trial run."""
        return any(trial.moments for trial in self.trials.values())

    def next(self) -> int | None:
        """The next trial to run: interrupted ones, then new ones, then repeats; None if none can start now."""
        with self.closed_without_storage():
            while self.closing is None:
                self._open_repeats()
                if self._unfinished:
                    number = self._unfinished.pop(0)
                elif len(self.searched) < self.sweep.trials:
                    number = self._store.ask()
                else:
                    return None
                if self._prepare(number):
                    return number
        return None

    def started(self, number: int) -> None:
        """Record that a worker has started the trial."""
        trial = self.trials[number]
        trial.state, trial.moments = "running", [time.monotonic()]
        self._changed(number)

    def hear(self, number: int, message: dict[str, Any]) -> bool:
        """Handle a message made by `orchestrator.training.messages` in a worker; return whether to stop the trial."""
        trouble, reason = storage_failure(message), given_up(message)
        if trouble is not None:
            self.close_without_storage(trouble)
        elif reason is not None:
            self.failed(number, reason)
        else:
            return self.report(number, unpack(message))
        return True

    def report(self, number: int, metrics: Mapping[str, int | float]) -> bool:
        """Record one epoch of a trial and return whether to stop it; an epoch already recorded is ignored."""
        trial = self.trials[number]
        if self.out_of_storage or int(metrics["epoch"]) <= trial.epoch:
            return False
        with self.closed_without_storage():
            self.folder.trial(number).append_report(metrics)
            trial.reports.append(dict(metrics))
            trial.moments.append(time.monotonic())
            if self._judge(trial):
                return True
            self._changed(number)
        return False

    def ended(self, number: int) -> None:
        """Record that the trial's worker has returned: it finished, it was stopped, or the sweep is closing."""
        trial = self.trials[number]
        unfinished = not trial.reports or not trial.reports[-1]["finished"]
        lacking = [goal.metric for goal in self.sweep.goals if not math.isfinite(trial.value(goal.metric))]
        if trial.is_over or (unfinished and self.closing is not None):
            return
        if unfinished:
            self.failed(number, f"it ended after epoch {trial.epoch} without its last report")
        elif lacking:
            self.failed(number, f"{lacking[0]} was {trial.value(lacking[0])} at the end")
        else:
            self._end(trial, "finished", None)

    def failed(self, number: int, reason: str) -> None:
        """Record a trial that diverged or crashed too often; the sweep continues without it."""
        if not self.trials[number].is_over:
            self._end(self.trials[number], "failed", reason)

    def crashed(self, number: int, reason: str) -> None:
        """Record that the trial's worker died; the trial is restarted from its checkpoint."""
        trial = self.trials[number]
        if not trial.is_over:
            trial.state, trial.reason = "waiting", reason
            self._changed(number)

    def _reconcile(self) -> None:
        on_disk = [folder.number for folder in self.folder.trials()]
        if on_disk and on_disk[-1] >= len(self._store):
            raise UserError(
                f"{self.folder.journal}: it must know every trial, and lacks trial {on_disk[-1]}; "
                "put the file back, or start over with --fresh"
            )
        for number in range(len(self._store)):
            state = self._store.state(number)
            if state != TrialState.WAITING:
                self._take_up(number, closed=state.is_finished())
        self._open_repeats()
        self._retention.drop(self.trials)

    def _open_repeats(self) -> None:
        """Once the search is over, open the repeats that confirm it, whether or not they have started."""
        if self.sweep.confirm is None or self.repeats is not None or not self.is_searched:
            return
        self.repeats = Repeats(self.searched, self.sweep)
        for number in self.repeats.numbers:
            self._take_up(number, closed=False)

    def _take_up(self, number: int, *, closed: bool) -> None:
        folder = self.folder.trial(number)
        if not folder.exists():
            self._unfinished.append(number)
            return
        trial = self.trials[number] = Trial.of(folder, self._source(number).values(number))
        if trial.is_over:
            folder.drop_checkpoints()  # a kill may have come between its end and this
        if closed:
            return
        for report in trial.reports:
            value = float(report.get(self._metric, math.nan))
            self._source(trial.number).report(trial.number, value, int(report["epoch"]))
        if trial.is_over:
            self._tell(trial)
        elif not self._judge(trial):
            self._unfinished.append(trial.number)

    def _prepare(self, number: int) -> bool:
        """Write the trial's config file; return False if its settings are not a valid run."""
        folder, values = self.folder.trial(number), self._source(number).values(number)
        reason = None
        # A kill may have come before the end of one that was refused was written: it is looked at again.
        known = folder.exists() and "refused" not in folder.config()
        if not known:
            try:
                folder.write_config(self._resolved(number, values))
            except UserError as error:
                folder.write_config({"search": {}, "refused": values})
                reason = str(error)
        if not known or number not in self.trials:
            self.trials[number] = Trial.of(folder, values)
        if reason is not None:
            self._end(self.trials[number], "failed", reason)
        else:
            self._changed(number)
        return reason is None

    def _source(self, number: int) -> Source:
        return self.repeats if self.repeats is not None and number in self.repeats.numbers else self._store

    def _judge(self, trial: Trial) -> bool:
        """Pass the newest report to the study, and end the trial if the study stops it."""
        if not trial.reports or trial.reports[-1]["finished"]:
            return False
        newest, source = trial.reports[-1], self._source(trial.number)
        epoch, value = int(newest["epoch"]), float(newest.get(self._metric, math.nan))
        source.report(trial.number, value, epoch)
        if not source.should_stop(trial.number):
            return False
        self._end(trial, "stopped", f"{self._metric} {value:.4g} at epoch {epoch} was not among the best")
        return True

    def _end(self, trial: Trial, end: End, reason: str | None) -> None:
        if self.out_of_storage:
            return
        folder = self.folder.trial(trial.number)
        values = [value if math.isfinite(value) else None for value in trial.values_of(self.sweep.goals)]
        with self.closed_without_storage():
            folder.write_result(
                {
                    "state": end,
                    "reason": reason,
                    "epoch": trial.epoch,
                    "metric": self.sweep.metric,
                    "value": values[0] if len(values) == 1 else values,
                }
            )
            trial.state, trial.reason = end, reason
            self._tell(trial)
            folder.drop_checkpoints()
            self._retention.ended(trial.number)
            self._retention.drop(self.trials)
            self._changed(trial.number)

    def _tell(self, trial: Trial) -> None:
        assert trial.state not in ("waiting", "running")
        values = trial.values_of(self.sweep.goals) if trial.state == "finished" else None
        self._source(trial.number).tell(trial.number, trial.state, values)

    def _changed(self, number: int) -> None:
        for watcher in self._watchers:
            watcher(number)
