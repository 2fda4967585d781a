"""Driver cost of Ray, Tune and the ledger for many actors that only report, as fast as they can.

A part of `tests.benchmarks.long_sweep`.
"""

import itertools
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.executors.ray import executor
from orchestrator.records.folder import SweepFolder
from orchestrator.search.interruption import Interruption
from orchestrator.search.ledger import Ledger
from tests.benchmarks.long_sweep import (
    AT,
    EPOCHS,
    Meter,
    memory,
    metrics,
    milliseconds,
    open_ledger,
    print_table,
    study,
)

import ray  # isort: skip  (after `execution`, which configures Ray)
from ray import tune  # isort: skip


@dataclass(frozen=True)
class Mark:
    """The state of the driver after a number of ended trials."""

    trials: int
    reports: int
    clock: float
    cpu: float
    in_ledger: float
    memory: float


def measure(trials: int, actors: Sequence[int]) -> None:
    """Prints the driver's cost between two numbers of ended trials, for each number of actors."""
    rows = [["actors", "trials ended", "trials/s", "reports/s", "CPU ms/report", "of which ledger", "busy", "RSS"]]
    with own_ray():
        for concurrency in actors:
            marks = marks_of(trials, concurrency)
            rows += [_row(concurrency, *pair) for pair in itertools.pairwise(marks)]
    print_table(rows)


@contextmanager
def own_ray() -> Iterator[None]:
    """Start Ray with two CPUs, of which each actor takes a fraction: Ray prestarts one process per CPU."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def marks_of(trials: int, concurrency: int, *, sampler: str = "random", at: Sequence[int] = AT) -> list[Mark]:
    """Run a sweep through the executor; return the driver's state at its start and after `at` ended trials."""
    meter, reports = Meter(), 0
    for function in ("next", "report", "ended"):
        meter.watch(Ledger, function, "ledger")
    with tempfile.TemporaryDirectory() as scratch, _trials_of(_reporting(EPOCHS), concurrency):
        ledger = open_ledger(SweepFolder(Path(scratch) / "long"), study(trials, sampler, concurrency))
        marks = [_mark(0, 0, meter)]

        def watch(number: int) -> None:
            nonlocal reports
            trial = ledger.trials[number]
            reports += trial.state == "running" and trial.epoch > 0
            ended = sum(trial.is_over for trial in ledger.trials.values()) if trial.is_over else 0
            if ended in at and ended > marks[-1].trials:
                marks.append(_mark(ended, reports, meter))

        ledger.watch(watch)
        executor.execute(ledger, tune.report, shared={}, is_over=Interruption(ledger, None, print).is_over)
        assert ledger.is_complete
    return marks


def _mark(trials: int, reports: int, meter: Meter) -> Mark:
    return Mark(trials, reports, time.monotonic(), time.process_time(), meter.spent["ledger"], memory())


def _row(actors: int, one: Mark, two: Mark) -> list[str]:
    seconds, cpu, reports = two.clock - one.clock, two.cpu - one.cpu, two.reports - one.reports
    rates = [f"{(two.trials - one.trials) / seconds:.1f}", f"{reports / seconds:.0f}"]
    costs = [milliseconds(cpu / reports), milliseconds((two.in_ledger - one.in_ledger) / reports)]
    return [
        str(actors),
        f"{one.trials}-{two.trials}",
        *rates,
        *costs,
        f"{100 * cpu / seconds:.0f} %",
        f"{two.memory:.0f} MB",
    ]


def _reporting(epochs: int) -> Callable[[dict[str, Any]], None]:
    """A trial that needs only Tune: a nested function is pickled by value, so its actor does not import torch."""
    reports = {
        epoch: {f"report/{name}": value for name, value in metrics(0, epoch).items()} for epoch in range(1, epochs + 1)
    }

    def trial(config: dict[str, Any]) -> None:
        for epoch, report in reports.items():
            tune.report({**report, "report/val_knn/1": hash((config["number"], epoch)) % 1000})

    return trial


@contextmanager
def _trials_of(trial: Callable[[dict[str, Any]], None], concurrency: int) -> Iterator[None]:
    """Make the executor run this trial instead of our own worker, which imports torch."""
    ours = executor.trainable
    executor.trainable = lambda *_: tune.with_resources(trial, {"CPU": 2 / concurrency})
    try:
        yield
    finally:
        executor.trainable = ours
