"""What held-out tests gave a trial, and the book of every look at a sweep's test set, both in the sweep's folder."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.folder import SweepFolder, TrialFolder, append_record, read_records
from orchestrator.storage.place import Place


@dataclass(frozen=True)
class Scores:
    """What was found, as it lies beside the trial.

    Args:
        file: `test.json`.
        content: of the file: `metrics` by name, protocols, fingerprints, uses.
    """

    file: Place
    content: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Every score and standard error by its metric's name."""
        return self.content["metrics"]


def note_use(sweep: SweepFolder, trial: TrialFolder, encoder: str) -> None:
    """Writes into the sweep's book that its test set is about to be looked at."""
    entry = {"time": time.time(), "trial": trial.number, "encoder": encoder}
    append_record(_book(sweep), entry)


def uses(sweep: SweepFolder) -> list[dict[str, Any]]:
    """Every time the sweep's test set was looked at: `time`, `trial`, `encoder`."""
    return read_records(_book(sweep))


def write_scores(trial: TrialFolder, content: Mapping[str, Any]) -> Scores:
    """Puts the scores beside the trial."""
    file = trial.path / "test.json"
    file.write(json.dumps(dict(content), indent=2) + "\n")
    return Scores(file, content)


def read_scores(trial: TrialFolder) -> Scores | None:
    """The newest scores of a trial, or None where it was never evaluated."""
    file = trial.path / "test.json"
    return Scores(file, json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def _book(sweep: SweepFolder) -> Place:
    return sweep.path / "test_uses.jsonl"
