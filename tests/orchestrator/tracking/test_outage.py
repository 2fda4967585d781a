"""The tracker killed, and MLflow's server killed, deaf and back again: MLflow has everything in the end."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.tracking.mlflow.tracker import Tracker
from tests.drill.services import MlflowServer
from tests.orchestrator.invented_sweep import begin, end, invent, report
from tests.orchestrator.tracking.mirrored import assert_equal, children, runs, wait_until, whole_sweep


def test_killed_tracker_is_continued_by_the_next(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "killed", trials=2)
    trial = begin(folder, 0)
    report(trial, 1, 2, 3)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from orchestrator.records.folder import SweepFolder\n"
        "from orchestrator.tracking.mlflow.tracker import Tracker\n"
        "Tracker(SweepFolder(Path(sys.argv[1])), sys.argv[2]); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder.path), uri]) as process:
        try:
            wait_until(lambda: 0 in children(uri, folder) and children(uri, folder)[0].data.metrics.get("epoch"))
        finally:
            process.kill()
    report(trial, 4, 5, 6)
    end(trial, "finished")
    assert Tracker(folder, uri).close(60.0) == []
    assert_equal(uri, folder)


def test_changed_returns_at_once_when_the_server_does_not_answer(tmp_path: Path) -> None:
    folder = whole_sweep(tmp_path / "unanswered")
    with socket.socket() as deaf:  # takes connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        tracker = Tracker(folder, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        started = time.monotonic()
        for number in range(3):
            tracker.changed(number)
        problems = tracker.close(1.0)
    assert time.monotonic() - started < 5  # not a measurement: a call that waited for MLflow would take 30 s
    assert len(problems) == 1
    assert "nothing is lost" in problems[0]
    assert str(folder.path) in problems[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path, f"sqlite:///{tmp_path}/server.db") as running:
        yield running


def test_server_killed_in_mid_sweep_gets_everything_when_it_is_back(tmp_path: Path, server: MlflowServer) -> None:
    folder = invent(tmp_path / "outage", trials=2)
    trial = begin(folder, 0)
    report(trial, 1, 2)
    tracker = Tracker(folder, server.uri)
    wait_until(lambda: 0 in children(server.uri, folder) and children(server.uri, folder)[0].data.metrics)
    server.kill()
    report(trial, 3, 4)
    tracker.changed(0)
    other = begin(folder, 1)
    report(other, 1, 2, 3, 4, 5, 6)
    end(other, "finished")
    tracker.changed(1)
    server.start()
    report(trial, 5, 6)
    end(trial, "finished")
    tracker.changed(0)
    assert tracker.close(60.0) == []
    assert_equal(server.uri, folder)
    assert {run.info.status for run in runs(server.uri, folder.name)} == {"FINISHED"}
    names = {item.path for item in MlflowClient(server.uri).list_artifacts(children(server.uri, folder)[1].info.run_id)}
    assert "encoder.safetensors" in names
