"""Driver cost of a sweep as trials and actors grow: `python -m tests.benchmarks.long_sweep [PART] [--trials N]`.

    ledger  suggestions, reports and ends through a ledger on a real folder, without Ray, and a restart from that folder
    ray     the same through Ray, with trials that do nothing but report, for increasing numbers of concurrent trials
    mlflow  how far MLflow lags behind actors that report once a second, on SQLite and with calls slowed by 0.1 s

Figures are CPU milliseconds of the driver unless stated otherwise. Target: no cost grows with the number of trials.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config import yaml_file
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.formatting import columns
from orchestrator.search.ledger import Ledger
from orchestrator.search.study import AddressedSampler, StoredStudy
from orchestrator.study.study_file import Study, load_study

ROOT = Path(__file__).parents[2]
EPOCHS = 20
AT = (20, 100, 300, 1000)  # numbers of started trials to measure at; a figure is the mean over the last fifth before it

PARTS = ("sampler", "journal", "resolve", "yaml", "files", "ledger")


class Meter:
    """CPU seconds by part of the program, each without its nested parts; wall seconds for `fsync`, which waits."""

    def __init__(self) -> None:
        self.spent = defaultdict[str, float](float)
        self._inside: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        clock = time.perf_counter if name == "fsync" else time.process_time
        began = clock()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took, inside = clock() - began, self._inside.pop()
            self.spent[name] += took - inside
            if self._inside and name != "fsync":
                self._inside[-1] += took

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Seconds spent in each part since the copy `before` was made."""
        return {name: self.spent[name] - before.get(name, 0.0) for name in (*PARTS, "fsync")}

    def watch(self, owner: Any, function: str, part: str) -> None:
        """Count every call of a function from now on."""
        inner = getattr(owner, function)

        def timed(*args: Any, **named: Any) -> Any:
            with self.part(part):
                return inner(*args, **named)

        setattr(owner, function, timed)


def watched_parts() -> Meter:
    """A meter that watches the components of the ledger."""
    from optuna.storages import JournalStorage

    meter = Meter()
    for function in ("infer_relative_search_space", "sample_relative", "sample_independent"):
        meter.watch(AddressedSampler, function, "sampler")
    for function in [name for name in vars(JournalStorage) if name.startswith(("get_", "set_", "create_"))]:
        meter.watch(JournalStorage, function, "journal")
    meter.watch(Study, "trial", "resolve")
    for function in ("parse", "reread", "write"):
        meter.watch(yaml_file, function, "yaml")
    for function in ("write_config", "append_report", "write_result", "drop_checkpoints", "reports", "result"):
        meter.watch(TrialFolder, function, "files")
    meter.watch(os, "fsync", "fsync")
    return meter


@dataclass(frozen=True)
class Event:
    """One call of the ledger."""

    kind: str
    trials: int
    wall: float
    spent: Mapping[str, float]


def study(trials: int, sampler: str = "tpe", concurrency: int = 16) -> Study:
    """The study of `search_spaces/msr.yaml` with many trials."""
    sets = [f"run.training.epochs={EPOCHS}", f"sweep.sampler.name={sampler}", f"sweep.concurrency={concurrency}"]
    return load_study(ROOT / "search_spaces" / "msr.yaml", sets, trials=trials)


def open_ledger(folder: SweepFolder, study: Study) -> Ledger:
    """Open the ledger of a sweep folder, new or existing."""
    store = StoredStudy(folder.journal, study.sweep, space=study.space, epochs=study.run.training.epochs)
    return Ledger(folder, store, sweep=study.sweep, resolved=study.trial)


def metrics(number: int, epoch: int) -> dict[str, int | float]:
    """A report like the training loop's, with a score that depends on the trial."""
    score = 40 + 10 * random.Random(number).random() + random.Random(1000 * number + epoch).random()
    names = ("loss", "feature_std", "images_per_second", "time/augment", "time/train", "learning_rate", "rank")
    score_and_error = {"val_knn/1": score, "val_knn/1_se": 1.1}
    report = {"epoch": epoch, "finished": int(epoch == EPOCHS), "time/epoch": 1.0}
    return report | score_and_error | {name: 1 / (place + epoch) for place, name in enumerate(names, start=1)}


def drive(ledger: Ledger, meter: Meter, concurrency: int, watch: Callable[[], None]) -> list[Event]:
    """Run a whole sweep of trials that report in turn; `watch` is called before each trial starts."""
    events: list[Event] = []

    def call(kind: str, function: Callable[..., Any], *args: Any) -> Any:
        before, began = dict(meter.spent), time.perf_counter()
        with meter.part("ledger"):
            answer = function(*args)
        events.append(Event(kind, len(ledger.trials), time.perf_counter() - began, meter.since(before)))
        return answer

    running: list[int] = []
    while True:
        while len(running) < concurrency:
            watch()
            number = call("suggestion", ledger.next)
            if number is None:
                break
            ledger.started(number)
            running.append(number)
        if not running:
            return events
        for number in running[:]:
            epoch = ledger.trials[number].epoch + 1
            stopped = call("report", ledger.report, number, metrics(number, epoch))
            if stopped or epoch == EPOCHS:
                call("end", ledger.ended, number)
                running.remove(number)


def measure_ledger(trials: int) -> None:
    """Cost of each event by the number of earlier trials, of drawing the table, and of a restart from the folder."""
    from rich.console import Console

    from orchestrator.sweep.live_table import LiveTable

    meter = watched_parts()
    for sampler in ("tpe", "random"):
        with tempfile.TemporaryDirectory() as scratch, open(os.devnull, "w", encoding="utf-8") as nowhere:
            this = study(trials, sampler)
            ledger = open_ledger(SweepFolder(Path(scratch) / "long"), this)
            console = Console(file=nowhere, force_terminal=True, width=160, height=50)
            table, drawn = LiveTable(ledger), dict[int, float]()

            def draw() -> None:
                if len(ledger.trials) in AT:  # noqa: B023
                    began = time.process_time()
                    console.print(table)  # noqa: B023
                    drawn[len(ledger.trials)] = time.process_time() - began  # noqa: B023

            events = drive(ledger, meter, this.sweep.concurrency, draw)
            draw()
            rows = [[sampler, "trials", "wall", "CPU", *PARTS, "fsync (wall)"]]
            for kind in ("suggestion", "report", "end"):
                rows += [_row(kind, at, events) for at in AT if at <= trials]
            rows += [["drawing", str(at), "", milliseconds(seconds)] + [""] * 7 for at, seconds in drawn.items()]
            rows.append(_start_row(ledger, this, meter))
            print_table(rows)


def _row(kind: str, at: int, events: Sequence[Event]) -> list[str]:
    last = [event for event in events if event.kind == kind and 0.8 * at < event.trials <= at]
    if not last:
        return [kind, str(at)] + ["-"] * (len(PARTS) + 3)
    mean = {name: sum(event.spent[name] for event in last) / len(last) for name in (*PARTS, "fsync")}
    wall = sum(event.wall for event in last) / len(last)
    spent = [wall, sum(mean[name] for name in PARTS), *mean.values()]
    return [kind, str(at), *map(milliseconds, spent)]


def _start_row(ledger: Ledger, this: Study, meter: Meter) -> list[str]:
    """Cost of a restart with every trial on disk."""
    before, began = dict(meter.spent), time.perf_counter()
    with meter.part("ledger"):
        again = open_ledger(ledger.folder, this)
    wall, spent = time.perf_counter() - began, meter.since(before)
    assert [trial.state for trial in again.trials.values()] == [trial.state for trial in ledger.trials.values()]
    total = sum(spent[name] for name in PARTS)
    return ["start", str(len(again.trials)), *map(milliseconds, [wall, total, *(spent[n] for n in (*PARTS, "fsync"))])]


def memory() -> float:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def milliseconds(seconds: float) -> str:
    """Seconds formatted as milliseconds."""
    return f"{1000 * seconds:.2f}"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints a table."""
    sys.stdout.write(columns(rows) + "\n\n")
    sys.stdout.flush()


def main() -> None:
    """Measures one part or all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["ledger", "ray", "mlflow"])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--actors", type=int, nargs="+", default=[4, 16, 64])
    given = parser.parse_args()
    if given.part in (None, "ledger"):
        measure_ledger(given.trials)
    if given.part in (None, "ray"):
        from tests.benchmarks import many_actors

        many_actors.measure(given.trials, given.actors)
    if given.part in (None, "mlflow"):
        from tests.benchmarks import mirror_lag

        mirror_lag.measure(given.trials)


if __name__ == "__main__":
    main()
