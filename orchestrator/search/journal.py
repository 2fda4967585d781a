"""Optuna's journal in a sweep's folder, wherever that lies; on a disk it is a file that optuna-dashboard reads."""

import json
from collections.abc import Iterable
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from orchestrator.records.folder import read_records
from orchestrator.storage.place import Place


class Journal(BaseJournalBackend):
    """Lines of JSON that only grow, written and read by one process at a time, which holds the sweep.

    Where appending rewrites a file, the log is split into several files, of which only the last one grows.

    Args:
        file: the first one; the others are beside it, with a number after its name.
    """

    def __init__(self, file: Place) -> None:
        self._files = [file, *sorted(file.parent.glob(f"{file.name}.[0-9]*"), key=str)]
        self._filled = self._files[-1].size()
        self._logs, self._first = self._read(), 0

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The logs from a number on; those before it are not expected to be asked for again."""
        if log_number_from < self._first:
            self._logs, self._first = self._read(), 0
        del self._logs[: log_number_from - self._first]
        self._first = log_number_from
        return list(self._logs)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds logs, and returns when they are safe."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        first, last = self._files[0], self._files[-1]
        if last.append_limit is not None and self._filled + len(text) > last.append_limit:
            last = first.with_name(f"{first.name}.{len(self._files):06d}")
            self._files.append(last)
            self._filled = 0
        last.append(text)
        self._filled += len(text)
        self._logs += map(json.loads, text.splitlines())

    def _read(self) -> list[dict[str, Any]]:
        return [log for file in self._files for log in read_records(file)]
