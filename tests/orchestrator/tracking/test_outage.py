"""The tracker killed, and MLflow's server killed, deaf and back again: MLflow has everything in the end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.tracking.tracker import Tracker
from tests.orchestrator.invented_sweep import begin, end, invent, report
from tests.orchestrator.tracking.mirrored import assert_equal, children, runs, wait_until, whole_sweep


def test_killed_tracker_is_continued_by_the_next(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "killed", trials=2)
    trial = begin(folder, 0)
    report(trial, 1, 2, 3)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from orchestrator.folder import SweepFolder; from orchestrator.tracking.tracker import Tracker\n"
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


def test_changed_returns_at_once_when_nobody_answers(tmp_path: Path) -> None:
    folder = whole_sweep(tmp_path / "nobody")
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


class Server:
    """A real `mlflow server` on loopback that can be killed and started again on the same port."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._home = home
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        store = ["--backend-store-uri", f"sqlite:///{self._home}/server.db", "--workers", "1"]
        place = ["--artifacts-destination", str(self._home / "artifacts")]
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command + store + place, stdout=log, stderr=log, start_new_session=True, env=os.environ | QUIET
            )
        wait_until(self._answers)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200
        except OSError:
            return False


QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # fewer processes to start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def test_server_killed_in_mid_sweep_gets_everything_when_it_is_back(tmp_path: Path, server: Server) -> None:
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
