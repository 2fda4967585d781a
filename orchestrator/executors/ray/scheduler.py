"""Tune's question "go on or stop?", answered by the ledger."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestrator.search.ledger import Ledger
from orchestrator.training.messages import given_up, storage_failure, unpack


class LedgerScheduler(FIFOScheduler):
    """Passes every report to the ledger, which stores it and decides.

    Asynchronous successive halving is judged by the stored study alone, so its rungs survive any crash with it.

    Args:
        ledger: of the sweep.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune puts it into snapshots, which nobody reads

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stores one report and says whether the trial goes on."""
        number = trial.config["number"]
        failure = storage_failure(result)
        if failure is not None:
            self._ledger.close_without_storage(failure)
            return TrialScheduler.STOP
        reason = given_up(result)
        if reason is not None:
            self._ledger.failed(number, reason)
            return TrialScheduler.STOP
        stop = self._ledger.report(number, unpack(result))
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE
