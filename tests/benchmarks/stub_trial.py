"""A trial that does nothing but report, in a module that the processes of any search can import."""

import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.long_sweep import EPOCHS, metrics


@dataclass(frozen=True)
class Stub:
    """Sends reports like the training loop's without delay, and writes their timestamps to a file."""

    log: Path

    def __call__(self, params: Mapping[str, float], report: Callable[[dict[str, Any], dict], None]) -> None:
        number = zlib.crc32(json.dumps(sorted(params.items())).encode())
        for epoch in range(1, EPOCHS + 1):
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{number} {time.time()}\n")
            report(dict(metrics(number, epoch)), {})

    def moments(self) -> dict[str, list[float]]:
        """Timestamps of each trial's reports, in seconds."""
        moments: dict[str, list[float]] = {}
        for line in self.log.read_text(encoding="utf-8").splitlines():
            trial, moment = line.split()
            moments.setdefault(trial, []).append(float(moment))
        return moments
