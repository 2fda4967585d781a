"""A damaged file of a sweep is named in one line, with what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.config.sweep import read_sweep
from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder
from orchestrator.search.study import StoredStudy
from tests.orchestrator.invented_sweep import begin, end, invent, report
from tests.orchestrator.search.test_study import SPACE


def journal(path: Path) -> Path:
    file = path / "study.journal"
    study = study_of(file)
    for _ in range(3):
        study.values(number := study.ask())
        study.report(number, 0.5, 1)
    return file


def study_of(file: Path) -> StoredStudy:
    return StoredStudy(file, read_sweep({"name": "s", "trials": 3, "metric": "m"}), space=SPACE, epochs=4)


def refused(read: Callable[[], object], file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read()
    message = str(caught.value)
    assert message.startswith(f"{file}: damaged (")
    assert message.endswith("restore it from a backup, or start again with --fresh (the old sweep is kept aside)")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "line 4: Expecting property name"),
        (b"\xff\xfe\0", "line 4: 'utf-"),
        (b"[1]", "line 4: list where an object must be"),
        (b"[" * 100_000, "line 4: "),
        (b"{}", "Optuna cannot replay it: KeyError: 'op_code'"),
        (b'{"op_code": 99, "worker_id": "x"}', "Optuna cannot replay it: AssertionError"),
        (b'{"op_code": 4, "worker_id": "x", "study_id": 0, "datetime_start": "today"}', "Optuna cannot replay it: Val"),
    ],
)
def test_journal_damaged_in_its_middle_is_refused(tmp_path: Path, line: bytes, expected: str) -> None:
    file = journal(tmp_path)
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:3], line, *lines[4:]]))
    assert expected in refused(lambda: study_of(file), file)


def test_journal_torn_at_its_end_is_taken(tmp_path: Path) -> None:
    file = journal(tmp_path)
    file.write_bytes(file.read_bytes() + b'{"op_co')
    assert len(study_of(file)) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"- 1", b"a: [", b"null"])
def test_damaged_files_of_a_sweep_and_a_trial_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = invent(tmp_path / "s", trials=1)
    trial = begin(folder, 0)
    report(trial, 1, 2)
    end(trial, "finished")
    for read, file in (
        (folder.settings, folder.file),
        (trial.config, trial.config_file),
        (trial.result, trial.result_file),
    ):
        before = file.read_bytes()
        file.write(content)
        refused(read, Path(str(file)))
        file.write(before)
        assert read()
    reports = Path(str(trial.path)) / "reports.jsonl"
    reports.write_bytes(content + b"\n" + json.dumps({"epoch": 1}).encode() + b"\n")
    assert "line 1: " in refused(SweepFolder(Path(str(folder.path))).trial(0).reports, reports)
