"""A Tune searcher that takes trials from the ledger."""

from typing import Any

from ray.tune.search import Searcher

from orchestrator.search.ledger import Ledger


class LedgerSearcher(Searcher):
    """Hands out trials as folders. It has no state to save: the sweep's folder is the source of truth.

    Args:
        ledger: of the sweep.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(metric=None, mode=None)
        self._ledger = ledger
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's number and folder, FINISHED if there is no more, or None to be asked again later."""
        number = self._ledger.next()
        if number is None:
            return Searcher.FINISHED if self._ledger.is_handed_out else None
        self._numbers[trial_id] = number
        return {"number": number, "folder": str(self._ledger.folder.trial(number).path)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Reports that the worker has returned; crashes are reported by the callback, with their reason."""
        if not error:
            self._ledger.ended(self._numbers[trial_id])

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
