"""How far MLflow lags behind 64 actors that report once a second, on SQLite and with every call slowed by 0.1 s.

A part of `tests.benchmarks.long_sweep`. The sweep resumes after some ended trials, which are sent to MLflow first.
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.config import yaml_file
from orchestrator.records.folder import SweepFolder
from orchestrator.tracking.mlflow.client import MlflowClient, connect
from orchestrator.tracking.mlflow.tracker import Tracker
from tests.benchmarks.long_sweep import EPOCHS, memory, metrics, print_table, study

ACTORS = 64


class Calls:
    """Counts the calls to MLflow and delays each by some seconds."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.points = 0  # logged values of one metric that every report has
        self.delay = 0.0
        for name in ("log_batch", "log_artifact", "create_run", "list_artifacts", "set_terminated", "update_run"):
            self._watch(name)

    def _watch(self, name: str) -> None:
        inner = getattr(MlflowClient, name)

        def counted(*args: Any, **named: Any) -> Any:
            answer = inner(*args, **named)
            time.sleep(self.delay)
            self.count[name] += 1
            if name == "log_batch" and "params" not in named and "tags" not in named:
                self.points += sum(point.key == "time/epoch" for point in args[2])
            return answer

        setattr(MlflowClient, name, counted)


def measure(trials: int) -> None:
    """Measures both cases and prints a table."""
    calls = Calls()
    rows = [["", f"{trials} trials sent", "reports/s", "calls/report", "max lag", "caught up", "CPU/report", "RSS"]]
    for name, calls.delay in (("SQLite", 0.0), ("+ 0.1 s a call", 0.1)):
        with tempfile.TemporaryDirectory() as scratch:
            rows.append([name, *_measure(Path(scratch), trials, calls)])
    print_table(rows)


def _measure(scratch: Path, trials: int, calls: Calls) -> list[str]:
    folder = SweepFolder(scratch / "long")
    this = study(trials + ACTORS, concurrency=ACTORS)
    folder.file.write(yaml_file.write(this.dump()))
    for number in range(trials):
        _begin(folder, number, this)
        for epoch in range(1, EPOCHS + 1):
            folder.trial(number).append_report(metrics(number, epoch))
        _end(folder, number)
    uri = f"sqlite:///{scratch / 'mlflow.db'}"
    connect(uri)
    began, calls.points = time.monotonic(), 0
    tracker = Tracker(folder, uri)
    _wait(lambda: calls.points >= trials * EPOCHS)
    sent = time.monotonic() - began
    for number in range(trials, trials + ACTORS):
        _begin(folder, number, this)
        tracker.changed(number)
    time.sleep(5)
    return [f"{sent:.1f} s", *_report(folder, tracker, trials, calls), f"{memory():.0f} MB"]


def _report(folder: SweepFolder, tracker: Tracker, first: int, calls: Calls) -> list[str]:
    behind, reported = 0, 0
    calls.points, before = 0, calls.count.copy()
    began, spent, here = time.monotonic(), time.process_time(), time.thread_time()
    for epoch in range(1, EPOCHS + 1):
        for actor, number in enumerate(range(first, first + ACTORS)):
            time.sleep(max(0.0, began + epoch - 1 + actor / ACTORS - time.monotonic()))
            folder.trial(number).append_report(metrics(number, epoch))
            tracker.changed(number)
            reported += 1
            if epoch > EPOCHS // 2:  # by then their MLflow runs exist
                behind = max(behind, reported - calls.points)
    for number in range(first, first + ACTORS):
        _end(folder, number)
        tracker.changed(number)
    took = time.monotonic() - began
    _wait(lambda: calls.points >= reported)
    caught_up = time.monotonic() - began - took
    cpu = time.process_time() - spent - (time.thread_time() - here)
    made = (calls.count - before)["log_batch"]
    problems = tracker.close(120)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    figures = [f"{reported / took:.0f}", f"{made / reported:.2f}", f"{behind} reports", f"{caught_up:.1f} s"]
    return [*figures, f"{1000 * cpu / reported:.1f} ms"]


def _begin(folder: SweepFolder, number: int, this: Any) -> None:
    values = {"addons.msr.base_weight": number / 10_000, "addons.msr.schedule": "cosine", "augment.strength": 1.0}
    folder.trial(number).write_config(this.trial(number, values))


def _end(folder: SweepFolder, number: int) -> None:
    value = folder.trial(number).reports()[-1]["val_knn/1"]
    folder.trial(number).write_result({"state": "finished", "reason": None, "epoch": EPOCHS, "value": value})


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)
