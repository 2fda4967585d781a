"""`python -m tests.drill`: injects faults into sweeps on a cluster and checks that the sweeps recover.

It starts a Ray cluster of two nodes, PostgreSQL, MLflow's server and an S3 endpoint on loopback, and takes minutes.
The exit code is 0 if the sweeps survive every fault, otherwise 1.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.drill import faults, sabotage, services
from tests.drill.checks import Problems
from tests.drill.scenario import Blow, Outcome, disturb, sweep, verdict
from tests.drill.surroundings import Surroundings
from tests.orchestrator.command import Command

ALONE, TOGETHER = 1, 2  # workers per trial
TRIALS = {ALONE: 4, TOGETHER: 2}
HALFWAY = (faults.DRIVER, faults.NODE, faults.ACTOR, faults.CHECKPOINT, faults.CLUSTER, faults.DISK)
SEVERAL, BLOWS = "several-workers", (Blow(faults.WORKER, 0, 3), Blow(faults.DRIVER, 1, 3), Blow(faults.NODE, 1, 6))
_DISK = "48m"  # enough for the sweep, and quick to fill

# Exceptions that count as a failed scenario, in addition to the problems that checks find.
_WRONG = (AssertionError, OSError, subprocess.SubprocessError, pytest.fail.Exception)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the drill and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of scenarios (default: all)")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds for which MLflow is down (default: 60)")
    parser.add_argument(
        "--sabotage", choices=sabotage.NAMES, help="damage the sweeps on purpose, to see that the checks fail"
    )
    options = parser.parse_args(arguments)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 endpoint would log every request
    with services.home() as home, Surroundings(home) as running:
        drill = Drill(running, options.sabotage)
        # Faults strike when some trials have ended, some are running and some have not started.
        for fault in (*HALFWAY, faults.mlflow(options.outage)):
            if fault.name in (options.only or [fault.name]):
                with _disk(home) if fault is faults.DISK else nullcontext(running.storage) as storage:
                    drill.run(fault.name, ALONE, [Blow(fault, 2, 3)], storage)
        if SEVERAL in (options.only or [SEVERAL]):
            drill.run(SEVERAL, TOGETHER, BLOWS, running.storage)
    return 1 if drill.failed else 0


class Drill:
    """Runs one scenario after another and prints the outcome of each fault.

    Args:
        services: The running services.
        damage: Name of a sabotage to apply to every sweep; None for no sabotage.
    """

    def __init__(self, services: Surroundings, damage: str | None) -> None:
        self.failed = False
        self._services, self._damage = services, damage
        self._references: dict[int, Command] = {}

    def run(self, name: str, workers: int, blows: Sequence[Blow], storage: str | None) -> None:
        """Starts a new sweep, injects the faults, and checks the result."""
        names = [blow.fault.name for blow in blows]
        if storage is None:
            _print_line(names, "skipped", "mounting a small disk requires root")
            return
        reference = self._undisturbed(workers)
        command = self._sweep(name, workers, storage)
        try:
            outcomes, problems = disturb(self._services, command, blows, damage=self._damage)
            problems += verdict(command, reference, self._services, trials=TRIALS[workers])
        except _WRONG as error:
            outcomes, problems = [], [f"{type(error).__name__}: {error}"]
            command.abandon()
            self._services.restart()
        self._print_line(names, outcomes, problems)

    def _undisturbed(self, workers: int) -> Command:
        if workers not in self._references:
            place = str(self._services.home / "undisturbed")
            command = self._sweep(f"undisturbed-{workers}", workers, place)
            code, _, errors = command.run()
            assert code == 0, errors
            self._references[workers] = command
        return self._references[workers]

    def _sweep(self, name: str, workers: int, storage: str) -> Command:
        return sweep(
            name,
            self._services.home,
            workers=workers,
            trials=TRIALS[workers],
            storage=storage,
            arguments=self._services.arguments,
        )

    def _print_line(self, names: Sequence[str], outcomes: Sequence[Outcome], problems: Problems) -> None:
        if problems:
            self.failed = True
            _print_line(names, "NOT survived", "; ".join(problems))
            return
        for outcome in outcomes:
            what = "MLflow caught up" if not outcome.fault.stops_trials else "trials resumed"
            _print_line(
                [outcome.fault.name],
                "survived",
                f"work lost {outcome.lost:5.2f} s, {what} after {outcome.recovery:5.1f} s",
            )


def _print_line(names: Sequence[str], how: str, more: str) -> None:
    sys.stdout.write(f"{', '.join(names):<12} {how:<13} {more}\n")
    sys.stdout.flush()


@contextmanager
def _disk(home: Path) -> Iterator[str | None]:
    """Mounts a small disk and yields its path; None without permission to mount."""
    place = home / "small-disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "drill", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield str(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


if __name__ == "__main__":
    sys.exit(main())
