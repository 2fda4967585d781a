"""A Tune scheduler that asks the ledger whether a trial continues."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestrator.search.ledger import Ledger


class LedgerScheduler(FIFOScheduler):
    """Passes every report to the ledger, which stores it and decides.

    Asynchronous successive halving reads only the stored study, so its rungs survive any crash.

    Args:
        ledger: of the sweep.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune puts it into snapshots, which are never read

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stores one report and decides whether the trial continues."""
        stop = self._ledger.hear(trial.config["number"], result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE
