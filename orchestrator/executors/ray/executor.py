"""Ray as a stateless executor: every start begins from the sweep's folder, and nothing of Ray's is kept."""

import _thread
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from orchestrator.executors.ray import startup_patches
from orchestrator.executors.ray.scheduler import LedgerScheduler
from orchestrator.executors.ray.searcher import LedgerSearcher
from orchestrator.executors.ray.workers import Work, trainable
from orchestrator.records.folder import TrialFolder
from orchestrator.search.formatting import last_error
from orchestrator.search.ledger import Ledger

logger = logging.getLogger(__name__)


class Interruption(tune.Stopper):
    """Ends the executor early, leaving its unfinished trials to the next start.

    The first SIGINT or SIGTERM ends it cleanly, the second at once; nothing finished is lost either way.

    Args:
        ledger: told to hand out nothing more.
        minutes: time limit from now, or None.
        notify: called with a sentence when it begins, from any thread.
    """

    def __init__(self, ledger: Ledger, minutes: float | None, notify: Callable[[str], None]) -> None:
        self._ledger, self._notify = ledger, notify
        self._minutes = minutes
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.signal: int | None = None
        self.out_of_time = False

    def install(self) -> None:
        """Takes over SIGINT and SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.receive)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune puts it into snapshots, which nobody reads

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped alone."""
        return False

    def stop_all(self) -> bool:
        """Whether it is time to go."""
        if not self.out_of_time and self._deadline is not None and time.monotonic() > self._deadline:
            self.out_of_time = True
            self._ledger.close(f"its time limit of {self._minutes:g} min is over (sweep.time_limit)")
            self._notify("the time limit is over: stopping; the same command goes on")
        return self._ledger.closing is not None

    def receive(self, number: int, frame: object = None) -> None:
        """What a signal does; it writes nothing itself, since it may have come in the middle of a writing."""
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        self._ledger.close(f"it was stopped by {signal.Signals(number).name}")
        # `threading` takes a lock that the interrupted code may hold.
        _thread.start_new_thread(self._notify, ("stopping; once more stops at once",))


class _Events(tune.Callback):
    """Tells the ledger of starts and crashes, which neither searcher nor scheduler hear of in full."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.started(trial.config["number"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.crashed(trial.config["number"], self._reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.failed(trial.config["number"], self._reason(trial))

    def _reason(self, trial: Trial) -> str:
        """The last error of a trial in one line; the whole of it goes into `error.txt` beside its reports."""
        assert trial.error_file is not None
        text = Path(trial.error_file).read_text(encoding="utf-8")
        with self._ledger.closed_without_storage():
            (TrialFolder.at(trial.config["folder"]).path / "error.txt").write(text)
        return last_error(text)


def execute(ledger: Ledger, work: Work, *, shared: Mapping[str, Any], interruption: Interruption) -> None:
    """Runs what the ledger hands out until there is nothing left, or until the interruption.

    Args:
        ledger: hands out trials and takes their events.
        work: trains a trial; called in each of its workers as `work(config, tell, **shared)`.
        shared: put into the object store once, mapped by every worker.
        interruption: ends it early.
    """
    sweep = ledger.sweep
    try:
        with tempfile.TemporaryDirectory(prefix="augsweep-") as scratch, startup_patches.telemetry():
            # Not `Tuner`, which wants to pickle searcher and callbacks for a restore that we never ask for.
            tune.run(
                trainable(work, sweep, shared, Path(scratch)),
                name="trials",
                storage_path=scratch,
                search_alg=LedgerSearcher(ledger),
                scheduler=LedgerScheduler(ledger),
                stop=interruption,
                callbacks=[_Events(ledger)],
                num_samples=-1,  # the searcher says when it is over
                max_concurrent_trials=sweep.concurrency,
                max_failures=sweep.max_failures,
                raise_on_failed_trial=False,
                reuse_actors=sweep.workers == 1,  # what a trial of several workers leaves, only the actor's end ends
                verbose=0,
            )
    except (OSError, tune.TuneError) as error:
        logger.exception("Tune gave up")  # the whole of it into the folder's ray.log
        ledger.close(f"Ray gave up ({type(error).__name__}: {str(error).strip().rpartition(chr(10))[2]}), see ray.log")
