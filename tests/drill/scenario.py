"""A sweep on the services, struck by faults and going on, and what is to be said of it afterwards."""

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
_PATIENCE = 900.0  # a trial of several workers takes its time to start, and begins anew after each fault
_GLANCE = 0.1  # seconds between looks, each of which costs an S3 endpoint some requests
_END = 120.0  # seconds in which a command must end whose cluster or disk is gone
_SETTLING = 1.0  # seconds in which what a fault left alive may write its last
# One at a time, or random settings: then a sweep is reproducible as a whole.
STUDY: Mapping[str, Any] = {
    "sweep.trials": 3,
    "sweep.sampler": {"name": "random"},
    "sweep.scheduler": {"name": "none"},
    "run.training.epochs": EPOCHS,
}


@dataclass(frozen=True)
class Outcome:
    """What one fault did.

    Args:
        fault: which.
        lost: seconds of work that were done again.
        recovery: seconds from the blow until all trials had gone on, starts of services and waits included; of MLflow,
            from its return until it had everything.
    """

    fault: Fault
    lost: float
    recovery: float


@dataclass(frozen=True)
class Blow:
    """When a fault strikes.

    Args:
        fault: which.
        trial: whose progress is looked at.
        epoch: that it must have told.
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
    """The command of a sweep, in a folder of its own."""
    changes = {**STUDY, **(changes or {}), "sweep.name": name, "sweep.trials": trials, "sweep.workers": workers}
    changes["sweep.concurrency"] = 2 // workers  # as many as the cluster has room for
    return Command(home / name, changes, storage=storage, arguments=arguments, patience=_PATIENCE)


def disturb(
    services: Surroundings, command: Command, blows: Sequence[Blow], *, damage: str | None = None
) -> tuple[list[Outcome], Problems]:
    """Runs a sweep to its end through some faults.

    Args:
        services: that it runs on.
        command: of the sweep, not started yet.
        blows: in their order.
        damage: a sabotage of the sweep, by its name.

    Returns:
        What each fault did, and what was wrong while the sweep ran; what is wrong afterwards is for the checks.
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
                outcome, wrong = _went_on(command, blow.fault, before)
            else:
                mending.result()
                outcome, wrong = _caught_up(command, blow.fault, services.mlflow.uri), []
        outcomes.append(outcome)
        problems += wrong + checks.untouched(command, before)
    return outcomes, problems + _finish(command, services.mlflow.uri, damage)


def _is_time(command: Command, blow: Blow) -> bool:
    """Whether the blow's trial has come so far, and every trial that is under way has something to lose."""
    if command.sweep.trial(blow.trial).last_epoch() < blow.epoch:
        return False
    return all(trial.last_epoch() > 0 for trial in command.sweep.trials() if not trial.result_file.exists())


def _strike(services: Surroundings, command: Command, fault: Fault) -> tuple[watch.Snapshot, Problems]:
    """Does it, and sees the command end if it must; where the sweep was then, and what was wrong."""
    assert command.process is not None
    family, struck = descendants(command.process.pid), time.time()
    fault.strike(services, command)
    problems = _ended(command, fault) + checks.ended(family) if fault.ends else []
    time.sleep(_SETTLING)
    return dataclasses.replace(watch.take(command), at=struck), problems


def _ended(command: Command, fault: Fault) -> Problems:
    """Waits until the command has ended by a fault, as it must by itself."""
    assert command.process is not None
    try:
        command.process.wait(_END)
    except subprocess.TimeoutExpired:
        command.abandon()
        return [f"the command did not end within {_END:g} s"]
    complaint = command.complaints()
    return [] if fault.complaint in complaint else [f"the command said {complaint!r}, not {fault.complaint!r}"]


def _went_on(command: Command, fault: Fault, before: watch.Snapshot) -> tuple[Outcome, Problems]:
    """Waits until all trials go on that a fault stopped."""
    seen = watch.Watch(command, before, EPOCH_STEPS)
    command.wait_until(seen.look, _GLANCE)
    lost = max((resumption.lost for resumption in seen.resumed.values()), default=0.0)
    wrong = checks.resumed(seen.resumed, before, unreadable=fault.unreadable)
    return Outcome(fault, lost, time.time() - before.at), wrong


def _caught_up(command: Command, fault: Fault, uri: str) -> Outcome:
    """Waits until MLflow, which is back, has all that trials have told by now.

    A sweep that was over some time before leaves that to the same command.
    """
    back = time.time()
    told = {trial.number: trial.last_epoch() for trial in command.sweep.trials()}

    def has_all() -> bool:
        if command.process is not None and command.process.poll() is not None:
            command.start()
        return all(_mirrored_epoch(command, uri, number) >= epoch for number, epoch in told.items())

    wait_until(has_all)
    return Outcome(fault, 0.0, time.time() - back)


def _mirrored_epoch(command: Command, uri: str, number: int) -> float:
    told = [run for run in runs(uri, command.sweep.name) if run.data.tags["trial"] == str(number)]
    return told[0].data.metrics.get("epoch", 0) if told else 0


def _finish(command: Command, uri: str, damage: str | None) -> Problems:
    code, _, errors = command.finish()
    if "the same command sends it" in errors:  # MLflow was away too long
        code, _, errors = command.run()
    if damage == sabotage.DUPLICATE:
        sabotage.duplicate_step(command, uri)
    return [] if code == 0 else [f"the command ended with exit code {code}: {errors.strip()[-500:]}"]


def verdict(command: Command, reference: Command, services: Surroundings, *, trials: int) -> Problems:
    """What is wrong with a sweep that has ended on the services; nothing, if all its trials are as undisturbed ones."""
    return [
        *checks.accounted(command, trials),
        *checks.equal(command, reference),
        *checks.mirrored(command, services.mlflow.uri),
        *checks.tidy(services.ray),
    ]
