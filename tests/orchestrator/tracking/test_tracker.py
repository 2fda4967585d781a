"""MLflow against the sweep folder, on a real SQLite store."""

from pathlib import Path

from mlflow import MlflowClient

from orchestrator.tracking.mlflow import tracker as tracking
from orchestrator.tracking.mlflow.client import connect
from orchestrator.tracking.mlflow.mirror import Mirror
from orchestrator.tracking.mlflow.tracker import Tracker
from tests.orchestrator.invented_sweep import METRIC, begin, end, invent, report
from tests.orchestrator.tracking.mirrored import assert_equal, children, parents, runs, wait_until, whole_sweep


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


def test_what_comes_in_a_pause_is_sent_when_the_sweep_ends_it(tmp_path: Path, uri: str, monkeypatch) -> None:
    monkeypatch.setattr(tracking, "_SHARE", 1e-9)  # of a processor: after its first round it pauses for years
    connect(uri)  # before it is asked for runs, which would make the database beside the tracker
    folder = invent(tmp_path / "paused", trials=1)
    trial = begin(folder, 0)
    report(trial, 1)
    tracker = Tracker(folder, uri)
    wait_until(lambda: parents(uri, folder) and "trials" in parents(uri, folder)[0].data.tags)
    report(trial, 2, 3, 4, 5, 6)
    end(trial, "finished")
    tracker.changed(0)
    assert tracker.close(60.0) == []
    assert_equal(uri, folder)
    assert [run.info.status for run in runs(uri, folder.name)] == ["FINISHED"] * 2


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


def test_a_database_that_a_kill_left_unfinished_is_created_again(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.unfinished").write_bytes(b"half a schema")
    client = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert not (tmp_path / "mlflow.db.unfinished").exists()
