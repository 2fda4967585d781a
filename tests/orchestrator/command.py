"""The sweep command in a process of its own, on a study of seconds, watched through its folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from orchestrator.records.folder import Record, SweepFolder
from orchestrator.storage.path import parse
from tests.orchestrator.studies import STUDY, with_changes, write_study

ROOT = Path(__file__).parents[2]
PATIENCE = 150.0  # seconds; a loaded machine takes its time to start Ray


class Command:
    """`python -m orchestrator.sweep` in a working folder of its own.

    A test module that runs it belongs to the `xdist_group` "ray", for it wants every core.

    Args:
        folder: working folder; the study and everything that the sweep makes goes there.
        changes: to the study.
        search: instead of the study's.
        of: the study.
        storage: where its sweep folder lies, if not beside the study as by default.
        arguments: of every start.
        patience: seconds for anything that is waited for.
    """

    def __init__(
        self,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        *,
        search: dict[str, Any] | None = None,
        of: dict[str, Any] = STUDY,
        storage: str | None = None,
        arguments: Sequence[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.working_folder = folder
        study = with_changes(dict(changes or {}), search=search, of=of)
        write_study(folder, study)
        self._patience = patience
        self._arguments = (*arguments, *(() if storage is None else ("--storage", storage)))
        self.sweep = SweepFolder(parse(storage or folder / "sweeps") / study["sweep"].get("name", "study"))
        self._output, self._errors = folder / f"output-{id(self)}.txt", folder / f"errors-{id(self)}.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts the command without waiting for it."""
        # Into files: the end of a pipe would be seen only when the last orphan of a killed driver has closed it.
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.sweep", "study.yaml", *self._arguments, *arguments],
                cwd=self.working_folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        return self.process

    def finish(self) -> tuple[int, str, str]:
        """Waits for the command; exit code, output, errors."""
        assert self.process is not None
        try:
            code = self.process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._give_up("it did not end")
        return code, self._output.read_text(), self._errors.read_text()

    def output_so_far(self) -> str:
        """Its output so far."""
        return self._output.read_text()

    def complaints(self) -> str:
        """Its errors so far."""
        return self._errors.read_text()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The command from start to end."""
        self.start(*arguments)
        return self.finish()

    def wait_until(self, holds: Callable[[], bool], glance: float = 0.005) -> None:
        """Waits for something to be so while the command runs, with so many seconds between looks."""
        deadline = time.monotonic() + self._patience
        while not holds():
            assert self.process is not None
            if self.process.poll() is not None:
                self._give_up("it ended early")
            if time.monotonic() > deadline:
                self._give_up("what was waited for never came to be")
            time.sleep(glance)

    def kill_when(self, holds: Callable[[], bool], delay: float = 0.0) -> None:
        """`kill -9` of the driver at a moment of its life, or some seconds later."""
        self.wait_until(holds, glance=0.0005)
        time.sleep(delay)
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def abandon(self) -> None:
        """Leaves no process behind that would spoil what comes next."""
        if self.process is None or self.process.poll() is not None:
            return
        for pid in (self.process.pid, *descendants(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _give_up(self, why: str) -> NoReturn:
        self.abandon()
        pytest.fail(f"{why}\n--- output\n{self._output.read_text()}\n--- errors\n{self._errors.read_text()}")

    def reports(self) -> dict[int, list[Record]]:
        """All reports without what may differ between equal trials."""
        return {
            trial.number: [{k: v for k, v in r.items() if not k.startswith("time/")} for r in trial.reports()]
            for trial in self.sweep.trials()
        }

    def results(self) -> dict[int, Record | None]:
        """How each trial ended."""
        return {trial.number: trial.result() for trial in self.sweep.trials()}

    def weights(self) -> dict[int, bytes]:
        """The exported encoders."""
        return {trial.number: trial.encoder_weights.read_bytes() for trial in self.sweep.trials()}


def descendants(pid: int) -> set[int]:
    """The living processes that descend from one, by parenthood now."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {pid}


def is_agent(pid: int) -> bool:
    """Ray's two agents per node: idle, without data or device, they end a minute later; that wait is Ray's constant."""
    try:
        return "Agent" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def living(pids: set[int]) -> set[int]:
    """Those of the processes that still run; a zombie does not."""
    alive = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            alive.add(pid)
    return alive
