"""One start of a sweep, from its folder's lock to its closing summary."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from orchestrator.build import Data, load_data
from orchestrator.folder import SweepFolder, write_text
from orchestrator.running import continuation
from orchestrator.running.execution import Interruption, cluster, execute
from orchestrator.running.ledger import Ledger
from orchestrator.running.study import StoredStudy
from orchestrator.running.summary import Scores, summary
from orchestrator.running.table import Display, display
from orchestrator.running.trial import run_trial
from orchestrator.spec.config import RunConfig
from orchestrator.spec.study_file import Study
from orchestrator.tracking.tracker import Tracker, tracking_uri
from orchestrator.training.baselines import baselines

T = TypeVar("T")

# Seconds that MLflow gets at the end; what it has not taken by then, the same command sends later.
_TRACKING_PATIENCE = 60.0


@dataclass(frozen=True)
class Options:
    """What the command line says beside the study.

    Args:
        storage: folder of sweep folders.
        tracking_uri: of MLflow, or None for the default.
        fresh: put an old sweep of this name aside and begin anew.
        quiet: show only the closing summary.
        command: arguments of the command that continues this sweep.
    """

    storage: Path
    tracking_uri: str | None
    fresh: bool
    quiet: bool
    command: tuple[str, ...]


class _Later(Generic[T]):
    """Something begun once a trial runs, lest it slow the start, and at the latest when it is asked for.

    Args:
        make: begins it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []

    @property
    def begun(self) -> bool:
        """Whether it has been begun."""
        return bool(self._made)

    def is_due(self, ledger: Ledger) -> bool:
        """Whether nothing speaks against beginning it now."""
        return self.begun or any(trial.state == "running" for trial in ledger.trials.values())

    def begin(self) -> T:
        """Begins it, unless that was done before."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]


def drive(study: Study, options: Options) -> int:
    """Begins or continues a sweep and returns the exit code.

    Raises:
        UserError: the folder is in use or holds another sweep, MLflow's address is none, or a data file is damaged.
    """
    uri = tracking_uri(options.tracking_uri)
    with _locked(SweepFolder(options.storage / study.sweep.name), fresh=options.fresh) as folder:
        warnings = continuation.enter(folder, study)
        store = StoredStudy(folder.journal, study.sweep, space=study.space, epochs=study.run.training.epochs)
        ledger = Ledger(folder, store, sweep=study.sweep, resolved=study.trial)
        tracker = _Later(lambda: Tracker(folder, uri))
        ledger.watch(lambda number: tracker.begin().changed(number) if tracker.is_due(ledger) else None)
        with display(ledger, quiet=options.quiet) as shown:
            ledger.watch(shown.changed)
            for warning in warnings:
                shown.note(f"warning: {warning}")
            interruption = Interruption(ledger, study.sweep.time_limit, shown.note)
            measured = _search(study, ledger, shown, interruption)
        text = summary(ledger, measured, command=options.command, tracking_uri=uri)
        write_text(folder.summary, text)
        sys.stdout.write(f"\n{text}")
        for problem in tracker.begin().close(_TRACKING_PATIENCE):
            sys.stderr.write(f"warning: {problem}\n")
    return _exit_code(ledger, interruption)


@contextmanager
def _locked(folder: SweepFolder, *, fresh: bool) -> Iterator[SweepFolder]:
    if fresh and folder.exists():
        with folder.lock():
            folder.archive()
    with folder.lock():
        yield folder


def _search(study: Study, ledger: Ledger, shown: Display, interruption: Interruption) -> Scores | str:
    """Runs what is left to run, and measures the baselines meanwhile."""
    file = ledger.folder.path / "baselines.json"
    if ledger.is_complete and file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    interruption.install()
    shown.note("decoding the data")
    data = load_data(study.run)
    with ThreadPoolExecutor(1, initializer=_yield_to_trials) as pool:
        measuring = _Later(lambda: pool.submit(_measure, study.run, data, file))
        ledger.watch(lambda number: measuring.begin() if measuring.is_due(ledger) else None)
        if not ledger.is_complete and interruption.signal is None:
            shown.note("starting Ray")
            _run_trials(study, ledger, data, shown, interruption)
        if interruption.signal is not None and not (measuring.begun and measuring.begin().done()):
            pool.shutdown(wait=False, cancel_futures=True)
            return "the sweep was stopped before"
        return _measured(measuring.begin())


def _run_trials(study: Study, ledger: Ledger, data: Data, shown: Display, interruption: Interruption) -> None:
    size = sum(split.images.nbytes for split in data.splits.values())
    with cluster(study.sweep, size, ledger.folder.path / "ray.log"):
        shown.note("starting the first trials")
        shared = {"data": data, "dataset": study.run.dump()["dataset"]}
        execute(ledger, run_trial, shared=shared, interruption=interruption)
        shown.note("")


def _measure(run: RunConfig, data: Data, file: Path) -> Scores:
    """The baselines, from the folder where an earlier start measured them: they depend on nothing but the run."""
    if not file.exists():
        write_text(file, json.dumps(baselines(run, data), indent=2) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def _measured(measuring: "Future[Scores]") -> Scores | str:
    try:
        return measuring.result()
    except ValueError as error:
        return str(error)


def _yield_to_trials() -> None:
    """Gives this thread what the trials leave of the processor, where a thread can have a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _exit_code(ledger: Ledger, interruption: Interruption) -> int:
    if interruption.signal is not None and not ledger.is_complete:
        return 128 + interruption.signal
    states = {trial.state for trial in ledger.trials.values()}
    return 1 if ledger.is_complete and "finished" not in states else 0
