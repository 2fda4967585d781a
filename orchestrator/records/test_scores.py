"""An encoder's scores on held-out tests, and the log of every use of test data."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.records.folder import append_record, read_record, read_records
from orchestrator.storage.place import Place


@dataclass(frozen=True)
class Shelf:
    """Where an encoder's scores are kept.

    Args:
        folder: of the encoder; `test.json` lies in it.
        book: folder of the book in which looks at test data are written: the sweep, or all encoders without one.
        features: folder on this machine for files that can be computed again.
    """

    folder: Place
    book: Place
    features: Path


@dataclass(frozen=True)
class Scores:
    """What was found, as it lies beside the encoder.

    Args:
        file: `test.json`.
        content: of the file: `metrics` by name, `scores` in full, fingerprints, uses.
    """

    file: Place
    content: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Every score and standard error by its metric's name."""
        return self.content["metrics"]


def note_use(book: Place, encoder: str, data: str, trial: int | None = None) -> None:
    """Writes into the book that test data are about to be looked at.

    Args:
        book: its folder.
        encoder: fingerprint.
        data: fingerprint.
        trial: number, where it is one.
    """
    entry = {"time": time.time(), "trial": trial, "encoder": encoder, "data": data}
    append_record(book / "test_uses.jsonl", entry)


def uses(book: Place, data: str | None = None) -> list[dict[str, Any]]:
    """Every time that test data were looked at: `time`, `trial`, `encoder`, `data`.

    Args:
        book: its folder.
        data: fingerprint of those that are asked for, or None for all.
    """
    # Books begun before other data than the sweep's own could be tested do not name them.
    looks = read_records(book / "test_uses.jsonl")
    return [look for look in looks if data is None or look.get("data", data) == data]


def write_scores(folder: Place, content: Mapping[str, Any]) -> Scores:
    """Write the scores beside the encoder."""
    file = folder / "test.json"
    file.write(json.dumps(dict(content), indent=2) + "\n")
    return Scores(file, content)


def read_scores(folder: Place) -> Scores | None:
    """The newest scores of an encoder, or None where it was never evaluated."""
    file = folder / "test.json"
    return Scores(file, read_record(file)) if file.exists() else None
