"""The sweep folder, which is the truth about a sweep: everything is on disk when it happens, nothing is kept elsewhere.

<storage>/<name>/  sweep.yaml  id  lock  study.journal  commits.txt  data.txt  baselines.json
                   summary.txt  confirm.json  test_uses.jsonl  ray.log
    trials/<number>/  config.yaml  views.png  reports.jsonl  error.txt  result.json  checkpoint-*.pt
                      encoder.safetensors  encoder.json  test.json  features/

A repeat of a trial with another seed is a trial like any other, with a number of its own (`orchestrator.numbering`).
"""

import errno
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.numbering import origin_and_place
from orchestrator.spec import yaml_file

# What one report or one result holds: numbers, and for results also words.
Record = dict[str, Any]

# Of an OSError: the disk, or the user's share of it, is full.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# The exported encoder's files, wherever it lies.
ENCODER_WEIGHTS, ENCODER_CARD = "encoder.safetensors", "encoder.json"


def write_text(path: Path, text: str) -> None:
    """Replaces a file whole: after a crash or a power cut it holds the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half_done = path.with_name(path.name + ".tmp")
    with half_done.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half_done.replace(path)
    sync_directory(path.parent)


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a line of JSON to a file and returns when it is on disk; a line torn by a crash is cut off first."""
    line = json.dumps(dict(record)) + "\n"
    if not path.exists():
        write_text(path, line)
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path) -> list[Record]:
    """The lines of such a file, none where it does not exist; one without its end was torn and does not count."""
    if not path.exists():
        return []
    *whole, _torn = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]


def sync_directory(path: Path) -> None:
    """Returns when what was made, renamed or deleted in a directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class TrialFolder:
    """One trial on disk. A trial exists once its `config.yaml` does, and is over once its `result.json` is there.

    Args:
        path: `<sweep>/trials/<number>`; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = int(path.name)

    @property
    def encoder_weights(self) -> Path:
        """Where the exported encoder's weights lie once the trial has finished."""
        return self.path / ENCODER_WEIGHTS

    @property
    def encoder_card(self) -> Path:
        """Where the exported encoder's card lies once the trial has finished."""
        return self.path / ENCODER_CARD

    @property
    def views(self) -> Path:
        """Where a picture of some training images and their views lies, for people."""
        return self.path / "views.png"

    @property
    def config_file(self) -> Path:
        """The resolved trial: a complete study file with an empty search, which `orchestrator.sweep` reruns alone."""
        return self.path / "config.yaml"

    @property
    def result_file(self) -> Path:
        """How the trial ended; when it was written is when the trial ended."""
        return self.path / "result.json"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved trial, a dict of plain YAML values."""
        write_text(self.config_file, yaml_file.write(dict(config)))

    def exists(self) -> bool:
        """Whether the trial was ever handed out."""
        return self.config_file.exists()

    def config(self) -> dict[str, Any]:
        """The resolved trial.

        Raises:
            FileNotFoundError: it was never handed out.
        """
        return yaml_file.reread(self.config_file.read_text(encoding="utf-8"))

    def append_report(self, metrics: Mapping[str, int | float]) -> None:
        """Adds a line to `reports.jsonl` and returns when it is on disk; a line torn by a crash is cut off first."""
        append_record(self.path / "reports.jsonl", metrics)

    def reports(self) -> list[Record]:
        """All reports in the order they were made; a line without its end was torn by a crash and does not count."""
        return read_records(self.path / "reports.jsonl")

    def last_epoch(self) -> int:
        """The newest epoch reported, 0 before the first."""
        reports = self.reports()
        return int(reports[-1]["epoch"]) if reports else 0

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Ends the trial.

        Args:
            result: `state` finished, stopped (early) or failed, `reason` a sentence or None, `epoch` the last one.
        """
        write_text(self.result_file, json.dumps(dict(result), indent=2) + "\n")

    def result(self) -> Record | None:
        """How the trial ended, or None while it has not."""
        if not self.result_file.exists():
            return None
        return json.loads(self.result_file.read_text(encoding="utf-8"))

    def drop_checkpoints(self) -> None:
        """Frees the disk of what only an unfinished trial needs."""
        for path in self.path.glob("checkpoint-*"):
            path.unlink(missing_ok=True)


class SweepFolder:
    """One sweep on disk.

    Args:
        path: `<storage>/<sweep name>`; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = path.name
        self.file = self.path / "sweep.yaml"
        self.journal = self.path / "study.journal"
        self.data = self.path / "data.txt"
        self.summary = self.path / "summary.txt"
        self.confirmation = self.path / "confirm.json"

    def exists(self) -> bool:
        """Whether a sweep was started here."""
        return self.file.exists()

    def identity(self) -> str:
        """A name of this very sweep, unlike that of any other by the same name: MLflow finds its runs by it."""
        file_path = self.path / "id"
        if not file_path.exists():
            write_text(file_path, uuid.uuid4().hex + "\n")
        return file_path.read_text(encoding="utf-8").strip()

    def trial(self, number: int) -> TrialFolder:
        """The folder of one trial, which need not exist yet."""
        return TrialFolder(self.path / "trials" / f"{number:04d}")

    def trials(self) -> list[TrialFolder]:
        """All trials of the search that exist, by number."""
        return [trial for trial in self._existing() if not origin_and_place(trial.number)[1]]

    def repeats(self) -> list[TrialFolder]:
        """All repeats of trials with other seeds that exist, by number."""
        return [trial for trial in self._existing() if origin_and_place(trial.number)[1]]

    def _existing(self) -> list[TrialFolder]:
        numbers = sorted(int(path.parent.name) for path in self.path.glob("trials/*/config.yaml"))
        return [self.trial(number) for number in numbers]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the sweep for this process; the kernel lets go when the process dies, however it dies.

        Raises:
            UserError: another process runs this sweep.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UserError(
                    f"{self.path}: this sweep is being run by process {file.read().strip()}; "
                    "wait for it, stop it, or give yours another sweep.name"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def is_locked(self) -> bool:
        """Whether a process runs this sweep now."""
        file_path = self.path / "lock"
        if not file_path.exists():
            return False
        with file_path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def archive(self) -> Path:
        """Moves the whole sweep aside, deleting nothing, and returns where it lies now."""
        aside = self.path.with_name(f"{self.name}.until-{datetime.now():%Y-%m-%dT%H-%M-%S}")
        self.path.rename(aside)
        return aside
