"""Ray as a stateless executor: every start reads the sweep's folder, and no state of Ray is kept."""

import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from orchestrator.executors.contract import Work
from orchestrator.executors.ray import liveness, startup_patches
from orchestrator.executors.ray.scheduler import LedgerScheduler
from orchestrator.executors.ray.searcher import LedgerSearcher
from orchestrator.executors.ray.workers import trainable
from orchestrator.records.folder import TrialFolder
from orchestrator.search.formatting import last_error
from orchestrator.search.ledger import Ledger

logger = logging.getLogger(__name__)

_GLANCE = 0.2  # seconds between checks whether Tune is done
_LAST_CALLS = 2.0  # seconds for Tune to return once its Ray is gone


class _Stopper(tune.Stopper):
    """Ends Tune's run once the execution is over.

    Args:
        is_over: whether the execution is over.
    """

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune puts it into snapshots, which are never read

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False  # no trial is stopped alone

    def stop_all(self) -> bool:
        return self._is_over()


class _Events(tune.Callback):
    """Reports starts and crashes to the ledger, of which neither searcher nor scheduler receives all."""

    def __init__(self, ledger: Ledger, lost: threading.Event) -> None:
        self._ledger, self._lost = ledger, lost

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ledger.started(trial.config["number"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if not self._lost.is_set():
            self._ledger.crashed(trial.config["number"], self._reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if not self._lost.is_set():  # if Ray ended, the trial did not fail: the next start continues it
            self._ledger.failed(trial.config["number"], self._reason(trial))

    def _reason(self, trial: Trial) -> str:
        """The last error of a trial in one line; the full text is written to `error.txt` in its folder."""
        assert trial.error_file is not None
        text = Path(trial.error_file).read_text(encoding="utf-8")
        with self._ledger.closed_without_storage():
            (TrialFolder.parse(trial.config["folder"]).path / "error.txt").write(text)
        return last_error(text)


def execute(ledger: Ledger, work: Work, *, shared: Mapping[str, Any], is_over: Callable[[], bool]) -> None:
    """Runs the trials that the ledger hands out until none is left, or until it is over.

    Args:
        ledger: hands out trials and receives their events.
        work: trains a trial; called in each of its workers as `work(config, tell, **shared)`.
        shared: put into the object store once, mapped by every worker.
        is_over: whether to stop everything, finished or not.
    """
    lost = threading.Event()

    def lose(what: str) -> None:
        lost.set()
        ledger.close(f"{what} was stopped from outside")

    with tempfile.TemporaryDirectory(prefix="augsweep-", ignore_cleanup_errors=True) as scratch:
        # Calls into a Ray that has ended never return, so another thread makes them.
        given = (ledger, work, shared, is_over, Path(scratch), lost)
        tuning = threading.Thread(target=_tune, args=given, daemon=True)
        with startup_patches.telemetry(), liveness.watched(lose):
            tuning.start()
            while tuning.is_alive() and not lost.is_set():
                tuning.join(_GLANCE)
            tuning.join(_LAST_CALLS)


def _tune(
    ledger: Ledger,
    work: Work,
    shared: Mapping[str, Any],
    is_over: Callable[[], bool],
    scratch: Path,
    lost: threading.Event,
) -> None:
    sweep = ledger.sweep
    try:
        # Not `Tuner`, which pickles searcher and callbacks for a restore that is never used.
        tune.run(
            trainable(work, sweep, shared, scratch),
            name="trials",
            storage_path=str(scratch),
            search_alg=LedgerSearcher(ledger),
            scheduler=LedgerScheduler(ledger),
            stop=_Stopper(is_over),
            callbacks=[_Events(ledger, lost)],
            num_samples=-1,  # the searcher ends the run
            max_concurrent_trials=sweep.concurrency,
            max_failures=sweep.max_failures,
            raise_on_failed_trial=False,
            reuse_actors=sweep.workers == 1,  # processes of a trial of several workers end only with its actor
            verbose=0,
        )
    except Exception as error:
        logger.exception("Tune gave up")  # the traceback goes to ray.log in the folder
        ledger.close(f"Ray gave up ({type(error).__name__}: {str(error).strip().rpartition(chr(10))[2]}), see ray.log")
