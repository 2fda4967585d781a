"""Faults that strike a sweep: each acts on real services and processes, and is repaired if an operator would do so."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drill.surroundings import Surroundings
from tests.orchestrator.command import Command

_FULL, _PAGE = 60.0, bytes(4096)  # maximum seconds for which a disk stays full, and the data that fills it

Deed = Callable[[Surroundings, Command], None]


def _nothing(services: Surroundings, command: Command) -> None:
    """No repair is needed."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Args:
        name: Name of the fault.
        strike: Injects it into a running command.
        mend: Repairs it, while the command runs or before the command is run again.
        ends: Whether the fault ends the command, so that it must be run again.
        complaint: Text that the command must then print.
        unreadable: Number of each trial's newest checkpoints that it damages.
        stops_trials: Whether it stops trials; if not, no trial loses work.
    """

    name: str
    strike: Deed
    mend: Deed = _nothing
    ends: bool = False
    complaint: str = ""
    unreadable: int = 0
    stops_trials: bool = True


def _kill_one(title: str) -> Deed:
    def strike(services: Surroundings, command: Command) -> None:
        os.kill(min(pid for pid, known in services.ray.processes().items() if known.startswith(title)), signal.SIGKILL)

    return strike


def kill_driver(services: Surroundings, command: Command) -> None:
    """Kills the command itself."""
    assert command.process is not None
    os.kill(command.process.pid, signal.SIGKILL)
    command.process.wait()


def truncate_newest(services: Surroundings, command: Command) -> None:
    """Kills the driver and truncates each trial's newest checkpoint, as after a power failure."""
    kill_driver(services, command)
    for trial in command.sweep.trials():
        newest = max(trial.path.glob("checkpoint-*.pt"), key=lambda path: path.name, default=None)
        if newest is not None:
            content = newest.read_bytes()
            newest.write(content[: len(content) // 2])


def fill_disk(services: Surroundings, command: Command) -> None:
    """Fills the sweep's disk, and fills up any space that a trial frees."""
    assert command.process is not None
    deadline = time.monotonic() + _FULL
    with _ballast(command).open("wb", buffering=0) as file:
        while command.process.poll() is None and time.monotonic() < deadline:
            try:
                file.write(_PAGE)
            except OSError:
                time.sleep(0.001)


def free_disk(services: Surroundings, command: Command) -> None:
    """Deletes the data that filled the disk."""
    _ballast(command).unlink()


def _ballast(command: Command) -> Path:
    return Path(str(command.sweep.path)).parent / "ballast"


# One worker of a trial, and the actor in which Tune runs a trial.
WORKER = Fault("worker", _kill_one("ray::RayTrainWorker"))
ACTOR = Fault("actor", _kill_one("ray::ImplicitFunc"))
NODE = Fault(  # a new node replaces it
    "node", lambda services, command: services.ray.second.kill(), lambda services, command: services.ray.second.start()
)
DRIVER = Fault("driver", kill_driver, ends=True)
CLUSTER = Fault(
    "cluster",
    lambda services, command: services.ray.kill(),
    lambda services, command: services.ray.start(),
    ends=True,
)
DISK = Fault("disk", fill_disk, free_disk, ends=True, complaint="the disk is full")
CHECKPOINT = Fault("checkpoint", truncate_newest, ends=True, unreadable=1)


def mlflow(seconds: float) -> Fault:
    """Kills MLflow's server and restarts it after `seconds`."""

    def bring_back(services: Surroundings, command: Command) -> None:
        time.sleep(seconds)
        services.mlflow.start()

    return Fault("mlflow", lambda services, command: services.mlflow.kill(), bring_back, stops_trials=False)
