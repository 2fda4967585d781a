"""Tune's question "go on or stop?", answered by the ledger."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestrator.search.ledger import Ledger


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
        return {}  # Tune puts it into snapshots, which are never read

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stores one report and says whether the trial goes on."""
        stop = self._ledger.hear(trial.config["number"], result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE
