"""Both kinds of places keep the same promises: one suite over a disk and over a real S3-speaking server."""

import json
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import NativeFile

from orchestrator.core.errors import UserError
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.journal import Journal
from orchestrator.storage import lease
from orchestrator.storage.held import HeldError
from orchestrator.storage.object_store import ObjectPlace
from orchestrator.storage.path import parse
from orchestrator.storage.place import Place
from orchestrator.training import checkpoint
from tests.orchestrator.command import ROOT
from tests.orchestrator.storage.s3_server import Server


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder that does not exist yet."""
    if request.param == "disk":
        return parse(tmp_path / "storage" / "s")
    return parse(request.getfixturevalue("server").uri(f"sweeps/{uuid.uuid4().hex}/s"))


@pytest.fixture
def objects(server: Server) -> ObjectPlace:
    return ObjectPlace.parse(server.uri(f"sweeps/{uuid.uuid4().hex}/s"))


def test_files_are_written_read_listed_and_removed(place: Place) -> None:
    file = place / "a" / "b.txt"
    assert not file.exists()
    for read in (file.read_bytes, file.modified, file.version, file.unlink):
        with pytest.raises(FileNotFoundError):
            read()
    file.unlink(missing_ok=True)
    assert list(place.glob("*/b.txt")) == []
    file.write("één")
    before = file.version()
    assert (file.read_text(encoding="utf-8"), file.size(), file.exists()) == ("één", 5, True)
    assert abs(file.modified() / 1e9 - time.time()) < 60
    time.sleep(1.1)  # an object's time is in whole seconds
    file.write(memoryview(b"12"))
    assert file.read_bytes() == b"12"
    assert file.version() != before
    (place / "a" / "c.txt").write(b"")
    (place / "a" / "deeper" / "b.txt").write(b"345")
    assert [found.name for found in sorted(place.glob("a/*.txt"), key=str)] == ["b.txt", "c.txt"]
    assert list(place.glob("*/b.txt")) == [file] == list((place / "a").glob("b*"))
    assert (place.size(), (file.parent, file.name)) == (5, (place / "a", "b.txt"))
    with file.on_disk() as copy:
        assert (copy.name, copy.read_bytes()) == ("b.txt", b"12")
    file.unlink()
    assert not file.exists()


def test_text_and_pickle_name_the_same_place(place: Place) -> None:
    (place / "x").write("1")
    for other in (parse(str(place)), pickle.loads(pickle.dumps(place)), parse(place)):
        assert other == place
        assert (other / "x").read_bytes() == b"1"


def test_lines_are_appended_and_a_torn_one_is_cut_off(place: Place) -> None:
    file = place / "lines"
    for line in ("1\n", "2\n3\n"):
        file.append(line)
    assert file.read_bytes() == b"1\n2\n3\n"
    file.write(file.read_bytes() + b"4 is to")
    file.append("4\n")
    assert file.read_bytes() == b"1\n2\n3\n4\n"


def test_sweep_is_put_aside_whole_and_held_meanwhile(place: Place) -> None:
    folder = SweepFolder(place)
    folder.file.write("sweep: {}")
    folder.trial(7).write_config({"run": {}})
    folder.trial(7).append_report({"epoch": 1})
    with folder.lock():
        aside = folder.archive()
        assert not folder.exists()
        assert not folder.trials()
    assert not folder.is_locked()
    (trial,) = SweepFolder(aside).trials()
    assert trial.reports() == [{"epoch": 1}]
    assert TrialFolder.parse(str(trial.path)).config() == {"run": {}}


def test_checkpoints_fall_back_and_are_bounded(place: Place) -> None:
    trial = SweepFolder(place).trial(0)
    trial.write_config({})
    for step in (1, 2, 3):
        checkpoint.write(trial.path, {"step": step, "weights": torch.arange(3.0)})
    assert sorted(file.name for file in trial.path.glob("checkpoint-*")) == [
        "checkpoint-00000002.pt",
        "checkpoint-00000003.pt",
    ]
    (trial.path / "checkpoint-00000003.pt").write(b"torn")
    assert checkpoint.read_latest(trial.path)["step"] == 2
    trial.drop_checkpoints()
    assert checkpoint.read_latest(trial.path) is None


def test_journal_comes_back_whole_and_grows_in_parts_where_appending_rewrites(place: Place, monkeypatch) -> None:
    if place.append_limit is not None:
        monkeypatch.setattr(type(place), "append_limit", 100)
    journal = Journal(place / "study.journal")
    assert list(journal.read_logs(0)) == []
    for number in range(6):
        journal.append_logs([{"n": number, "long": "x" * 20}, {"n": -number}])
        assert [log["n"] for log in journal.read_logs(2 * number + 1)] == [-number]
    files = list(place.glob("study.journal*"))
    if place.append_limit is None:
        assert len(files) == 1
    else:
        assert all(file.size() <= 100 for file in files)
    for reader in (journal, Journal(place / "study.journal")):
        assert [log["n"] for log in reader.read_logs(0)] == [sign * n for n in range(6) for sign in (1, -1)]
    again = Journal(place / "study.journal")
    again.append_logs([{"n": "new"}])
    assert [log["n"] for log in Journal(place / "study.journal").read_logs(12)] == ["new"]


# Leaner than a fork of this process, whose threads may not be forked.
_HOLD = """
import signal, sys
from orchestrator.storage.path import parse
with parse(sys.argv[1]).lock():
    print("held", flush=True)
    signal.pause()
"""


def test_second_process_is_refused_with_the_holders_name_and_a_killed_one_lets_go(place: Place) -> None:
    command = [sys.executable, "-c", _HOLD, str(place)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert place.is_held()
        with pytest.raises(UserError, match=rf"run by process {other.pid} on \S+"), SweepFolder(place).lock():
            pass
        other.kill()
    assert not place.is_held()
    with place.lock():
        assert place.is_held()
    assert not place.is_held()


def _claim_of(objects: ObjectPlace, **of: object) -> ObjectPlace:
    claim = objects.with_name("s.lock") / "other"
    claim.write(json.dumps({**lease._this_process(), **of}))
    return claim


def test_claim_from_another_host_holds_until_it_runs_out(objects: ObjectPlace, monkeypatch) -> None:
    claim = _claim_of(objects, machine="another", host="node-b", pid=12)
    holder = r"process 12 on node-b \(last heard of \d+ s ago; if it is dead, its lease of 60 s runs out in \d+ s\)"
    with pytest.raises(HeldError, match=holder), objects.lock():
        pass
    assert claim.exists()
    monkeypatch.setattr(lease, "SECONDS", 0)
    time.sleep(1.1)
    with objects.lock():
        assert not claim.exists()


def test_of_takers_at_once_never_two_have_it(objects: ObjectPlace) -> None:
    inside, most, refused = [], [], []

    def take() -> None:
        try:
            with objects.lock():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.3)
                inside.pop()
        except HeldError:
            refused.append(1)

    takers = [threading.Thread(target=take) for _ in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert max(most, default=1) == 1
    assert len(most) + len(refused) == 3


def test_what_goes_between_opening_and_reading_is_not_there(objects: ObjectPlace, monkeypatch) -> None:
    file = objects / "claim"
    file.write("x")
    store = file._store

    class Store:
        """Somebody deletes the object once it has been opened."""

        def open_input_stream(self, path: str) -> NativeFile:
            stream = store.open_input_stream(path)
            store.delete_file(path)
            return stream

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    monkeypatch.setattr(ObjectPlace, "_store", Store())
    with pytest.raises(FileNotFoundError):
        file.read_bytes()


def test_process_that_lost_its_place_is_ended(objects: ObjectPlace, monkeypatch, capsys) -> None:
    monkeypatch.setattr(lease, "_RENEWAL", 0.1)
    ended = threading.Event()
    monkeypatch.setattr(lease.os, "kill", lambda pid, number: ended.set())
    with objects.lock():
        (claim,) = objects.with_name("s.lock").glob("*")
        assert not ended.wait(0.3)
        while not ended.wait(0.05):
            claim.unlink(missing_ok=True)  # again and again, since it may just have been renewed
    assert "another process has taken this over" in capsys.readouterr().err
