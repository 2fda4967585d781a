"""One start of a sweep, from its folder's lock to its closing summary."""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from orchestrator.config.run import RunConfig
from orchestrator.config.sweep import EXECUTORS, TRACKERS
from orchestrator.core.errors import UserError, named
from orchestrator.core.registry import find
from orchestrator.executors.contract import Executor
from orchestrator.records.folder import SweepFolder, read_record, storage_trouble
from orchestrator.search.confirmation import confirmation
from orchestrator.search.interruption import Interruption
from orchestrator.search.ledger import Ledger
from orchestrator.search.retention import holdings
from orchestrator.search.study import StoredStudy
from orchestrator.storage.place import Place
from orchestrator.study.study_file import Study
from orchestrator.sweep import resume
from orchestrator.sweep.advice import machine_advice
from orchestrator.sweep.live_table import Display, display
from orchestrator.sweep.summary import Scores, summary
from orchestrator.tracking.contract import Tracker
from orchestrator.training.assembly import baselines, load_data
from orchestrator.training.parts import Data
from orchestrator.training.trial import run_trial

T = TypeVar("T")

# Seconds that the tracker gets at the end; the same command sends the rest later.
_TRACKING_PATIENCE = 60.0
# Seconds that it and the baselines get where the executor broke: Ray's library ends the process a minute after its Ray.
_SHORT_PATIENCE = 15.0
_GLANCE = 0.2  # seconds between checks for a signal while only the baselines are awaited


@dataclass(frozen=True)
class Options:
    """What the command line says beside the study.

    Args:
        storage: where sweep folders lie.
        tracking_uri: where to track, or None for the tracker's default.
        address: of a cluster that exists, or None for this machine.
        fresh: move an old sweep of this name aside and start over.
        quiet: show only the closing summary.
        command: arguments of the command that continues this sweep.
        places: those of them for storage and tracking, which other commands need too.
    """

    storage: Place
    tracking_uri: str | None
    address: str | None
    fresh: bool
    quiet: bool
    command: tuple[str, ...]
    places: tuple[str, ...]


def drive(study: Study, options: Options) -> int:
    """Start or continue a sweep and return the exit code.

    Raises:
        UserError: the folder is in use or holds another sweep or one on other images, the tracker's address is none, or
            a data file is damaged.
    """
    sweep = study.sweep
    executor = find(EXECUTORS, sweep.executor.name).build(sweep.executor, sweep, options.address)
    location = find(TRACKERS, sweep.tracker.name).location(options.tracking_uri)
    try:
        with _locked(SweepFolder(options.storage / sweep.name), fresh=options.fresh) as folder:
            return _drive(study, options, folder, executor, location)
    except OSError as error:
        trouble = storage_trouble(error)
        if trouble is None:
            raise
        sys.stderr.write(f"error: --storage {options.storage}: {trouble}\n")
        return 1


def _drive(study: Study, options: Options, folder: SweepFolder, executor: Executor, location: str) -> int:
    for warning in [*resume.enter(folder, study), *(machine_advice(study) if executor.on_this_machine else ())]:
        sys.stderr.write(f"warning: {warning}\n")
    store = StoredStudy(folder.journal, study.sweep, space=study.space, epochs=study.run.training.epochs)
    ledger = Ledger(folder, store, sweep=study.sweep, resolved=study.trial)
    tracking = find(TRACKERS, study.sweep.tracker.name)
    # Created with the first trial that runs, so that importing a tracker's library does not delay it.
    tracker: Callable[[], Tracker] = cache(lambda: tracking.build(study.sweep.tracker, folder, location))
    ledger.watch(lambda number: tracker().changed(number) if ledger.has_run else None)
    with (
        ExitStack() as until_written
    ):  # the executor ends last: whatever goes wrong then, the result is stored and shown
        with display(ledger, quiet=options.quiet) as shown:
            ledger.watch(shown.changed)
            interruption = Interruption(ledger, study.sweep.time_limit, shown.note)
            until_written.callback(interruption.uninstall)
            measured = _search(study, ledger, shown, interruption, executor, until_written)
            shown.note(holdings(folder))
        compare = tracking.open_command(location)
        text = summary(ledger, measured, command=options.command, places=options.places, compare=compare)
        sys.stdout.write(f"\n{text}")
        sys.stdout.flush()
        with ledger.closed_without_storage():
            folder.summary.write(text)
            if ledger.repeats is not None:
                found = confirmation(ledger, ledger.repeats)
                folder.confirmation.write(json.dumps(found, indent=2) + "\n")
        broken = _is_broken(ledger, interruption)
        for problem in tracker().close(_SHORT_PATIENCE if broken else _TRACKING_PATIENCE):
            sys.stderr.write(f"warning: {problem}\n")
        if ledger.out_of_storage or broken:
            sys.stderr.write(f"error: {ledger.closing}\n")
    return _exit_code(ledger, interruption)


@contextmanager
def _locked(folder: SweepFolder, *, fresh: bool) -> Iterator[SweepFolder]:
    if fresh and folder.exists():
        with folder.lock():
            folder.archive()
    with folder.lock():
        yield folder


def _search(
    study: Study,
    ledger: Ledger,
    shown: Display,
    interruption: Interruption,
    executor: Executor,
    until: ExitStack,
) -> Scores | str:
    """Run the remaining trials and measure the baselines meanwhile; returns a sentence if they were not measured.

    The executor stays ready as long as `until`.
    """
    file = ledger.folder.path / "baselines.json"
    if ledger.is_complete and file.exists():
        return read_record(file)
    changed = resume.changed_meaning(ledger.folder, study)
    if changed is not None and not ledger.is_complete:
        raise UserError(changed)
    interruption.install()
    if not ledger.is_complete:
        executor.check()  # before minutes may be spent on the data
    shown.note("decoding the data")
    data = load_data(study.run)
    changed = resume.changed_data(ledger.folder, data.card.fingerprint)
    if changed is not None:
        if ledger.is_complete:
            return changed  # its result is shown all the same
        raise UserError(changed)
    measuring = cache(lambda: _in_background(lambda: _measured(study.run, data, file)))
    ledger.watch(lambda number: measuring() if ledger.has_run else None)
    if not ledger.is_complete and interruption.signal is None:
        shown.note(executor.starting)
        until.enter_context(executor.ready(ledger.folder.path, data_bytes=data.nbytes))
        _run_trials(study, ledger, data, shown, interruption, executor)
    if interruption.signal is None or ledger.has_run:
        patience = _SHORT_PATIENCE if _is_broken(ledger, interruption) else math.inf
        deadline = time.monotonic() + patience
        while not measuring().done() and interruption.signal is None and time.monotonic() < deadline:
            wait([measuring()], _GLANCE)
        if measuring().done():
            return measuring().result()
    return "the sweep was stopped before"


def _run_trials(
    study: Study, ledger: Ledger, data: Data, shown: Display, interruption: Interruption, executor: Executor
) -> None:
    if interruption.signal is None:
        shown.note("starting the first trials")
        shared = {"data": data, "dataset": study.run.dump()["dataset"]}
        executor.run(ledger, run_trial, shared=shared, is_over=interruption.is_over)
        shown.note("")


def _measured(run: RunConfig, data: Data, file: Place) -> Scores | str:
    """The baselines, from the folder where an earlier start measured them: they depend on nothing but the run.

    A failure is returned as its message and costs the sweep nothing else.
    """
    try:
        if not file.exists():
            file.write(json.dumps(baselines(run, data), indent=2) + "\n")
        return read_record(file)
    except Exception as error:
        return named(error)


def _in_background(work: Callable[[], T]) -> Future[T]:
    """Start work in a daemon thread, for which the end of the process does not wait."""
    future: Future[T] = Future()

    def run() -> None:
        _yield_to_trials()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="baselines", daemon=True).start()
    return future


def _yield_to_trials() -> None:
    """Give this thread the lowest priority, on systems where a thread has its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _is_broken(ledger: Ledger, interruption: Interruption) -> bool:
    """Whether the sweep ended early, and neither by a signal nor by its time limit."""
    return ledger.closing is not None and interruption.signal is None and not interruption.out_of_time


def _exit_code(ledger: Ledger, interruption: Interruption) -> int:
    if ledger.out_of_storage:
        return 1  # even if the sweep is complete: its summary may be what did not fit
    if interruption.signal is not None and not ledger.is_complete:
        return 128 + interruption.signal
    if not ledger.is_complete and not interruption.out_of_time:
        return 1
    return 0 if any(trial.state == "finished" for trial in ledger.trials.values()) else 1
