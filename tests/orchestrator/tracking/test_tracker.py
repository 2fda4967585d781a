"""MLflow against the sweep folder, on a real SQLite store and on a real server that goes down and comes back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator.errors import UserError
from orchestrator.folder import SweepFolder
from orchestrator.tracking.client import connect
from orchestrator.tracking.mirror import Mirror
from orchestrator.tracking.tracker import Tracker, tracking_uri
from tests.orchestrator.invented_sweep import EPOCHS, METRIC, begin, end, invent, report


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the module: each test has an experiment of its own in it."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def runs(uri: str, name: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def children(uri: str, folder: SweepFolder) -> dict[int, Run]:
    found = [run for run in runs(uri, folder.name) if "mlflow.parentRunId" in run.data.tags]
    numbers = [int(run.data.tags["trial"]) for run in found]
    assert len(set(numbers)) == len(numbers), "a trial has two runs"
    return dict(zip(numbers, found, strict=True))


def parents(uri: str, folder: SweepFolder) -> list[Run]:
    return [run for run in runs(uri, folder.name) if "mlflow.parentRunId" not in run.data.tags]


def assert_equal(uri: str, folder: SweepFolder) -> None:
    """Every report of the folder is in MLflow once, and nothing else is."""
    client = MlflowClient(uri)
    found = children(uri, folder)
    assert sorted(found) == [trial.number for trial in folder.trials()]
    for trial in folder.trials():
        run = found[trial.number]
        for name in (METRIC, "loss", "epoch"):
            history = client.get_metric_history(run.info.run_id, name)
            logged = sorted((point.step, point.value) for point in history)
            assert logged == [(entry["epoch"], entry[name]) for entry in trial.reports()], (trial.number, name)


def whole_sweep(path: Path) -> SweepFolder:
    folder = invent(path, trials=3)
    for number, state, epochs in ((0, "finished", EPOCHS), (1, "stopped", 3), (2, "failed", 2)):
        trial = begin(folder, number)
        report(trial, *range(1, epochs + 1))
        end(trial, state, None if state == "finished" else f"reason of {number}")
    return folder


def test_tracker_makes_mlflow_equal_to_the_folder(tmp_path: Path, uri: str) -> None:
    folder = whole_sweep(tmp_path / "equal")
    folder.summary.write_text("the best is trial 0", encoding="utf-8")
    (folder.trial(0).path / "views.png").write_bytes(b"png")
    tracker = Tracker(folder, uri)
    assert tracker.close(60.0) == []
    assert_equal(uri, folder)
    (parent,) = parents(uri, folder)
    found = children(uri, folder)
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert [found[n].info.status for n in range(3)] == ["FINISHED", "KILLED", "FAILED"]
    assert [found[n].data.tags.get("reason") for n in range(3)] == [None, "reason of 1", "reason of 2"]
    assert found[2].data.params["optimizer.lr"] == str(0.1 * 3)
    assert found[2].data.params["addons.msr.schedule"] == "cosine"
    tags = found[0].data.tags
    assert tags["seed"] == "7"
    assert tags["data_licence"] == "CC0-1.0"
    assert len(tags["mlflow.source.git.commit"].removesuffix("-dirty")) == 40
    assert {"device", "version.torch", "version.ray", "data_fingerprint"} <= set(tags)
    assert found[0].info.end_time == folder.trial(0).result_file.stat().st_mtime_ns // 1_000_000


def test_parent_run_holds_the_search_and_the_best(tmp_path: Path, uri: str) -> None:
    folder = whole_sweep(tmp_path / "parent")
    folder.summary.write_text("the best is trial 0", encoding="utf-8")
    assert Tracker(folder, uri).close(60.0) == []
    (parent,) = parents(uri, folder)
    best = children(uri, folder)[0]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["search.optimizer.lr"] == "{log_uniform: [0.01, 1.0]}"
    assert "optimizer.lr" not in parent.data.params  # it has no one value
    assert parent.data.params["optimizer.momentum"] == "0.9"
    assert parent.data.metrics[f"best/{METRIC}"] == best.data.metrics[METRIC]
    assert parent.data.tags["best_run"] == best.info.run_id
    assert parent.data.tags["trials"] == "3"
    assert "the best is trial 0" in parent.data.tags["mlflow.note.content"]


def test_trial_that_finishes_while_others_are_sent_is_named_best_the_next_time(tmp_path: Path, uri: str) -> None:
    folder = whole_sweep(tmp_path / "race")
    mirror = Mirror(folder, uri)
    mirror.send_sweep(over=False)
    assert "best_run" not in parents(uri, folder)[0].data.tags
    mirror.send_all(over=True)
    assert parents(uri, folder)[0].data.tags["best_run"] == children(uri, folder)[0].info.run_id


def test_finished_trial_has_its_files_and_a_failed_one_no_encoder(tmp_path: Path, uri: str) -> None:
    folder = whole_sweep(tmp_path / "files")
    (folder.trial(0).path / "views.png").write_bytes(b"png")
    assert Tracker(folder, uri).close(60.0) == []
    client = MlflowClient(uri)
    found = children(uri, folder)
    names = {item.path for item in client.list_artifacts(found[0].info.run_id)}
    assert names == {"config.yaml", "views.png", "encoder.safetensors", "encoder.json"}
    assert {item.path for item in client.list_artifacts(found[2].info.run_id)} == {"config.yaml"}
    store = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    logged = next(store.glob(f"**/{found[0].info.run_id}/**/config.yaml"))
    assert logged.read_bytes() == folder.trial(0).config_file.read_bytes()


def test_running_trials_are_interrupted_by_close_and_continue_in_their_run(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "resumed", trials=1)
    trial = begin(folder, 0)
    report(trial, 1, 2)
    first = Tracker(folder, uri)
    assert first.close(60.0) == []
    (parent,) = parents(uri, folder)
    before = children(uri, folder)[0]
    assert (parent.info.status, before.info.status) == ("KILLED", "KILLED")
    assert before.data.tags["state"] == "interrupted"

    second = Tracker(folder, uri)
    report(trial, 3)
    second.changed(0)
    wait_until(lambda: children(uri, folder)[0].info.status == "RUNNING")
    wait_until(lambda: parents(uri, folder)[0].info.status == "RUNNING")
    report(trial, 4, 5, 6)
    end(trial, "finished")
    second.changed(0)
    assert second.close(60.0) == []
    assert_equal(uri, folder)
    after = children(uri, folder)[0]
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert [run.info.status for run in parents(uri, folder)] == ["FINISHED"]


def test_killed_tracker_is_continued_by_the_next(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "killed", trials=2)
    trial = begin(folder, 0)
    report(trial, 1, 2, 3)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from orchestrator.folder import SweepFolder; from orchestrator.tracking.tracker import Tracker\n"
        "Tracker(SweepFolder(Path(sys.argv[1])), sys.argv[2]); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(folder.path), uri])
    wait_until(lambda: children(uri, folder).get(0) is not None and children(uri, folder)[0].data.metrics.get("epoch"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    report(trial, 4, 5, 6)
    end(trial, "finished")
    assert Tracker(folder, uri).close(60.0) == []
    assert_equal(uri, folder)


def test_fresh_sweep_of_the_same_name_is_another_parent(tmp_path: Path, uri: str) -> None:
    old = whole_sweep(tmp_path / "fresh")
    assert Tracker(old, uri).close(60.0) == []
    old.archive()
    new = whole_sweep(tmp_path / "fresh")
    assert Tracker(new, uri).close(60.0) == []
    found = parents(uri, new)
    assert len(found) == 2
    assert len({run.data.tags["sweep"] for run in found}) == 2
    assert len(runs(uri, new.name)) == 8


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


@pytest.mark.parametrize("uri", ["mlruns", "file:///data/mlruns", "htp://host:5000"])
def test_tracking_uri_refuses_what_mlflow_cannot_write_to(uri: str) -> None:
    with pytest.raises(UserError, match=f"--tracking-uri = {uri}.* must begin with one of sqlite, http"):
        tracking_uri(uri)


def test_tracking_uri_is_option_then_environment_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri("sqlite:///x.db") == "sqlite:///x.db"
    assert tracking_uri(None) == "http://host:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"


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
    running.start()
    yield running
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


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_a_database_that_a_kill_left_unfinished_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.unfinished").write_bytes(b"half a schema")
    client = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert not (tmp_path / "mlflow.db.unfinished").exists()
