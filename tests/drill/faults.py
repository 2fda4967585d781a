"""What can happen to a sweep: each fault is done to real services and processes, and undone where somebody would."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drill.surroundings import Surroundings
from tests.orchestrator.command import Command

_FULL, _PAGE = 60.0, bytes(4096)  # seconds for which a disk stays full at most, and how it is filled

Deed = Callable[[Surroundings, Command], None]


def _nothing(services: Surroundings, command: Command) -> None:
    """Nobody needs to do anything."""


@dataclass(frozen=True)
class Fault:
    """One kind of misfortune.

    Args:
        name: of it.
        strike: does it to a running command.
        mend: what somebody does about it, while the command goes on or before the same one is given again.
        ends: whether the command ends by it, so that the same one must be given again.
        complaint: what the command must say then.
        unreadable: newest checkpoints of a trial that it damages.
        stops_trials: whether trials are stopped by it; if not, none of them loses anything.
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
    """The command itself dies."""
    assert command.process is not None
    os.kill(command.process.pid, signal.SIGKILL)
    command.process.wait()


def truncate_newest(services: Surroundings, command: Command) -> None:
    """The driver dies, and half of each trial's newest checkpoint with it, as when a machine loses its power."""
    kill_driver(services, command)
    for trial in command.sweep.trials():
        newest = max(trial.path.glob("checkpoint-*.pt"), key=lambda path: path.name, default=None)
        if newest is not None:
            content = newest.read_bytes()
            newest.write(content[: len(content) // 2])


def fill_disk(services: Surroundings, command: Command) -> None:
    """The disk that the sweep lies on is full, and what a trial frees of it is taken at once."""
    assert command.process is not None
    deadline = time.monotonic() + _FULL
    with _ballast(command).open("wb", buffering=0) as file:
        while command.process.poll() is None and time.monotonic() < deadline:
            try:
                file.write(_PAGE)
            except OSError:
                time.sleep(0.001)


def free_disk(services: Surroundings, command: Command) -> None:
    """What filled it is deleted."""
    _ballast(command).unlink()


def _ballast(command: Command) -> Path:
    return Path(str(command.sweep.path)).parent / "ballast"


# One of a trial's workers, and the actor that Tune runs a trial in.
WORKER = Fault("worker", _kill_one("ray::RayTrainWorker"))
ACTOR = Fault("actor", _kill_one("ray::ImplicitFunc"))
NODE = Fault(  # another one takes its place
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
    """MLflow's server dies, and is back after so many seconds."""

    def bring_back(services: Surroundings, command: Command) -> None:
        time.sleep(seconds)
        services.mlflow.start()

    return Fault("mlflow", lambda services, command: services.mlflow.kill(), bring_back, stops_trials=False)
