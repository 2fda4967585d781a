"""The sweep folder, the source of truth about a sweep: every event is written to it when it happens.

It lies on a disk or in an object store, see `orchestrator.storage`. For an object store, `ray.log` and `features/`,
which can be made again, are in the user's cache, and the lock is next to the folder.

<storage>/<name>/  sweep.yaml  format.txt  id  lock  study.journal  commits.txt  data.txt  baselines.json
                   summary.txt  confirm.json  test_uses.jsonl  ray.log
    trials/<number>/  config.yaml  views.png  reports.jsonl  warnings.txt  error.txt  result.json
                      checkpoint-*.pt  encoder.safetensors  encoder.json  test.json  features/

A repeat of a trial with another seed is a trial like any other, with a number of its own
(`orchestrator.core.trial_number`).
"""

import errno
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.config import yaml_file
from orchestrator.core.errors import UserError, first_line
from orchestrator.core.trial_number import origin_and_place
from orchestrator.storage.held import HeldError
from orchestrator.storage.path import parse
from orchestrator.storage.place import Place
from orchestrator.storage.s3 import UnavailableError

# What one report or one result holds: numbers, and for results also words.
Record = dict[str, Any]
Parsed = TypeVar("Parsed")

# The exported encoder's files, and the file from which it can be trained again.
ENCODER_WEIGHTS, ENCODER_CARD, CONFIG = "encoder.safetensors", "encoder.json", "config.yaml"


def storage_trouble(error: OSError) -> str | None:
    """Why the storage takes or gives nothing more, and what to do; None where the error is of any other kind."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({error}); free some of it, and the same command goes on"
    return f"{error}; then the same command goes on" if isinstance(error, UnavailableError) else None


def append_record(file: Place, record: Mapping[str, Any]) -> None:
    """Adds a line of JSON to a file and returns when it is safe; a line torn by a crash is cut off first."""
    file.append(json.dumps(dict(record)) + "\n")


def read_records(file: Place) -> list[Record]:
    """The lines of such a file, none where it does not exist; one without its end was torn and does not count.

    Raises:
        UserError: if the file is damaged anywhere else.
    """
    try:
        *whole, _torn = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [_parsed(file, _json_object, line, f"line {number}: ") for number, line in enumerate(whole, 1)]


def read_record(file: Place) -> Record:
    """The JSON object that a file holds.

    Raises:
        FileNotFoundError: if there is none.
        UserError: if it is damaged.
    """
    return _parsed(file, _json_object, file.read_bytes())


def damaged(file: Place, what: str) -> UserError:
    """What to say of a file of a sweep that holds what was never written there."""
    return UserError(
        f"{file}: damaged ({what}); restore it from a backup, or start again with --fresh (the old sweep is kept aside)"
    )


def _json_object(text: bytes) -> Record:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} where an object must be")
    return found


def _yaml_mapping(text: bytes) -> Record:
    found = yaml_file.reread(text.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} where a mapping must be")
    return found


def _parsed(file: Place, read: Callable[[bytes], Parsed], text: bytes, where: str = "") -> Parsed:
    try:
        return read(text)
    except (ValueError, UserError, RecursionError) as error:
        raise damaged(file, f"{where}{first_line(error)}") from error


class TrialFolder:
    """One trial's files. A trial exists once its `config.yaml` does, and is over once its `result.json` is there.

    Args:
        path: `<sweep>/trials/<number>`; made when the first file is written.
    """

    def __init__(self, path: Place | Path) -> None:
        self.path = parse(path)
        self.number = int(self.path.name)

    @classmethod
    def parse(cls, text: str) -> "TrialFolder":
        """The trial whose path has this text, on any node that shares the storage."""
        return cls(parse(text))

    @property
    def encoder_weights(self) -> Place:
        """Where the exported encoder's weights lie once the trial has finished."""
        return self.path / ENCODER_WEIGHTS

    @property
    def encoder_card(self) -> Place:
        """Where the exported encoder's card lies once the trial has finished."""
        return self.path / ENCODER_CARD

    @property
    def views(self) -> Place:
        """Where a picture of some training images and their views lies, for people."""
        return self.path / "views.png"

    @property
    def warnings(self) -> Place:
        """Where a trial's workers say what is not as it might be, a line each, for people."""
        return self.path / "warnings.txt"

    @property
    def config_file(self) -> Place:
        """The resolved trial: a complete study file with an empty search, which `orchestrator.sweep` reruns alone."""
        return self.path / CONFIG

    @property
    def result_file(self) -> Place:
        """How the trial ended; when it was written is when the trial ended."""
        return self.path / "result.json"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved trial, a dict of plain YAML values."""
        self.config_file.write(yaml_file.write(dict(config)))

    def exists(self) -> bool:
        """Whether the trial was ever handed out."""
        return self.config_file.exists()

    def config(self) -> dict[str, Any]:
        """The resolved trial.

        Raises:
            FileNotFoundError: it was never handed out.
            UserError: its file is damaged.
        """
        return _parsed(self.config_file, _yaml_mapping, self.config_file.read_bytes())

    def append_report(self, metrics: Mapping[str, int | float]) -> None:
        """Adds a line to `reports.jsonl` and returns when it is safe; a line torn by a crash is cut off first."""
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
        self.result_file.write(json.dumps(dict(result), indent=2) + "\n")

    def result(self) -> Record | None:
        """How the trial ended, or None while it has not.

        Raises:
            UserError: its file is damaged.
        """
        try:
            return read_record(self.result_file)
        except FileNotFoundError:
            return None

    def drop_checkpoints(self) -> None:
        """Remove the files that only an unfinished trial needs."""
        for path in self.path.glob("checkpoint-*"):
            path.unlink(missing_ok=True)


class SweepFolder:
    """One sweep's files.

    Args:
        path: `<storage>/<sweep name>`; made when the first file is written.
    """

    def __init__(self, path: Place | Path) -> None:
        self.path = parse(path)
        self.name = self.path.name
        self.file = self.path / "sweep.yaml"
        self.journal = self.path / "study.journal"
        self.data = self.path / "data.txt"
        self.format_file = self.path / "format.txt"
        self.summary = self.path / "summary.txt"
        self.confirmation = self.path / "confirm.json"

    def exists(self) -> bool:
        """Whether a sweep was started here."""
        return self.file.exists()

    def settings(self) -> Record:
        """The sweep's resolved file: `sweep`, `run` and `search`.

        Raises:
            UserError: it is damaged.
        """
        return _parsed(self.file, _yaml_mapping, self.file.read_bytes())

    def format(self) -> int:
        """The version of what the folder's settings mean; 1 where it was begun before versions were noted.

        Raises:
            UserError: it is damaged.
        """
        return _parsed(self.format_file, int, self.format_file.read_bytes()) if self.format_file.exists() else 1

    def identity(self) -> str:
        """A unique identifier of this sweep, by which trackers find its runs."""
        file = self.path / "id"
        if not file.exists():
            file.write(uuid.uuid4().hex + "\n")
        return file.read_text(encoding="utf-8").strip()

    def trial(self, number: int) -> TrialFolder:
        """The folder of one trial, which need not exist yet."""
        return TrialFolder(self.path / "trials" / f"{number:04d}")

    def trials(self) -> list[TrialFolder]:
        """All trials of the search that exist, by number."""
        return [trial for trial in self._having(CONFIG) if not origin_and_place(trial.number)[1]]

    def repeats(self) -> list[TrialFolder]:
        """All repeats of trials with other seeds that exist, by number."""
        return [trial for trial in self._having(CONFIG) if origin_and_place(trial.number)[1]]

    def with_encoder(self) -> list[TrialFolder]:
        """All trials and repeats with an exported encoder, by number."""
        return self._having(ENCODER_WEIGHTS)

    def _having(self, name: str) -> list[TrialFolder]:
        numbers = sorted(int(file.parent.name) for file in self.path.glob(f"trials/*/{name}"))
        return [self.trial(number) for number in numbers]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the sweep for this process; it is free again however the process ends.

        Raises:
            UserError: another process runs this sweep.
        """
        try:
            with self.path.lock():
                yield
        except HeldError as error:
            raise UserError(
                f"{self.path}: this sweep is being run by {error}; "
                "wait for it, stop it, or give yours another sweep.name"
            ) from None

    def is_locked(self) -> bool:
        """Whether a process runs this sweep now."""
        return self.path.is_held()

    def archive(self) -> Place:
        """Move the whole sweep aside, deleting nothing, and return its new location."""
        aside = self.path.with_name(f"{self.name}.until-{datetime.now():%Y-%m-%dT%H-%M-%S}")
        return self.path.rename(aside)
