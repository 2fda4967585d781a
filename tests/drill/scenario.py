"""Runs a sweep on the services through faults, and judges the result."""

import dataclasses
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drill import checks, sabotage, watch
from tests.drill.checks import Problems
from tests.drill.faults import Fault
from tests.drill.surroundings import Surroundings
from tests.orchestrator.command import Command, descendants
from tests.orchestrator.tracking.mirrored import runs, wait_until

EPOCHS, EPOCH_STEPS = 12, 4
_PATIENCE = 900.0  # a trial of several workers starts slowly, and starts again after each fault
_GLANCE = 0.1  # seconds between polls, each of which sends requests to the S3 endpoint
_END = 120.0  # seconds in which a command must end after it loses its cluster or disk
_SETTLING = 1.0  # seconds in which surviving processes may finish their writes
# With one trial at a time, or random settings, a whole sweep is reproducible.
STUDY: Mapping[str, Any] = {
    "sweep.trials": 3,
    "sweep.sampler": {"name": "random"},
    "sweep.scheduler": {"name": "none"},
    "run.training.epochs": EPOCHS,
}


@dataclass(frozen=True)
class Outcome:
    """The effect of one fault.

    Args:
        fault: The fault.
        lost: Seconds of work that were repeated.
        recovery: Seconds from the fault until all trials have resumed, service starts and waits included; for MLflow,
            from its restart until it has all reports.
    """

    fault: Fault
    lost: float
    recovery: float


@dataclass(frozen=True)
class Blow:
    """When a fault strikes.

    Args:
        fault: The fault.
        trial: Number of the trial whose progress triggers it.
        epoch: Epoch that the trial must have reported.
    """

    fault: Fault
    trial: int
    epoch: int


def sweep(
    name: str,
    home: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    workers: int,
    trials: int,
    storage: str,
    arguments: Sequence[str],
) -> Command:
    """The command of a sweep in a new folder."""
    changes = {**STUDY, **(changes or {}), "sweep.name": name, "sweep.trials": trials, "sweep.workers": workers}
    changes["sweep.concurrency"] = 2 // workers  # as many as the cluster can run
    return Command(home / name, changes, storage=storage, arguments=arguments, patience=_PATIENCE)


def disturb(
    services: Surroundings, command: Command, blows: Sequence[Blow], *, damage: str | None = None
) -> tuple[list[Outcome], Problems]:
    """Runs a sweep to its end through some faults.

    Args:
        services: Services that it runs on.
        command: Command of the sweep, not started yet.
        blows: Faults in the order in which they strike.
        damage: Name of a sabotage of the sweep; None for no sabotage.

    Returns:
        The outcome of each fault, and the problems seen while the sweep ran; the checks find later ones.
    """
    outcomes, problems = [], []
    command.start()
    for blow in blows:
        command.wait_until(lambda blow=blow: _is_time(command, blow), _GLANCE)
        before, wrong = _strike(services, command, blow.fault)
        problems += wrong
        if blow.fault.ends and damage in sabotage.BEFORE_GOING_ON:
            sabotage.BEFORE_GOING_ON[damage](command)
        with ThreadPoolExecutor(1) as others:
            mending = others.submit(blow.fault.mend, services, command)
            if blow.fault.ends:
                mending.result()
                command.start()
            if blow.fault.stops_trials:
                outcome, wrong = _resumed(command, blow.fault, before)
            else:
                mending.result()
                outcome, wrong = _caught_up(command, blow.fault, services.mlflow.uri), []
        outcomes.append(outcome)
        problems += wrong + checks.untouched(command, before)
    return outcomes, problems + _finish(command, services.mlflow.uri, damage)


def _is_time(command: Command, blow: Blow) -> bool:
    """Whether the blow's trial has reached its epoch, and every running trial has work to lose."""
    if command.sweep.trial(blow.trial).last_epoch() < blow.epoch:
        return False
    return all(trial.last_epoch() > 0 for trial in command.sweep.trials() if not trial.result_file.exists())


def _strike(services: Surroundings, command: Command, fault: Fault) -> tuple[watch.Snapshot, Problems]:
    """Injects a fault and waits for the command to end if it must; returns a snapshot and problems."""
    assert command.process is not None
    family, struck = descendants(command.process.pid), time.time()
    fault.strike(services, command)
    problems = _ended(command, fault) + checks.ended(family) if fault.ends else []
    time.sleep(_SETTLING)
    return dataclasses.replace(watch.take(command), at=struck), problems


def _ended(command: Command, fault: Fault) -> Problems:
    """Waits until a fault has ended the command, which must exit by itself."""
    assert command.process is not None
    try:
        command.process.wait(_END)
    except subprocess.TimeoutExpired:
        command.abandon()
        return [f"the command did not end within {_END:g} s"]
    complaint = command.complaints()
    return [] if fault.complaint in complaint else [f"the command printed {complaint!r}, not {fault.complaint!r}"]


def _resumed(command: Command, fault: Fault, before: watch.Snapshot) -> tuple[Outcome, Problems]:
    """Waits until all trials that a fault stopped have resumed."""
    seen = watch.Watch(command, before, EPOCH_STEPS)
    command.wait_until(seen.look, _GLANCE)
    lost = max((resumption.lost for resumption in seen.resumed.values()), default=0.0)
    wrong = checks.resumed(seen.resumed, before, unreadable=fault.unreadable)
    return Outcome(fault, lost, time.time() - before.at), wrong


def _caught_up(command: Command, fault: Fault, uri: str) -> Outcome:
    """Waits until the restarted MLflow has everything that trials have reported so far.

    If the command has already ended, it is run again to send the rest.
    """
    back = time.time()
    reported = {trial.number: trial.last_epoch() for trial in command.sweep.trials()}

    def has_all() -> bool:
        if command.process is not None and command.process.poll() is not None:
            command.start()
        return all(_mirrored_epoch(command, uri, number) >= epoch for number, epoch in reported.items())

    wait_until(has_all)
    return Outcome(fault, 0.0, time.time() - back)


def _mirrored_epoch(command: Command, uri: str, number: int) -> float:
    found = [run for run in runs(uri, command.sweep.name) if run.data.tags["trial"] == str(number)]
    return found[0].data.metrics.get("epoch", 0) if found else 0


def _finish(command: Command, uri: str, damage: str | None) -> Problems:
    code, _, errors = command.finish()
    if "the same command sends it" in errors:  # MLflow was down for too long
        code, _, errors = command.run()
    if damage == sabotage.DUPLICATE:
        sabotage.duplicate_step(command, uri)
    return [] if code == 0 else [f"the command ended with exit code {code}: {errors.strip()[-500:]}"]


def verdict(command: Command, reference: Command, services: Surroundings, *, trials: int) -> Problems:
    """Problems of an ended sweep on the services; empty if all its trials equal undisturbed ones."""
    return [
        *checks.accounted(command, trials),
        *checks.equal(command, reference),
        *checks.mirrored(command, services.mlflow.uri),
        *checks.tidy(services.ray),
    ]
