"""One value that MLflow does not take costs itself, says so, and costs nothing else."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from orchestrator.tracking.mlflow.client import artifacts_beside, connect
from orchestrator.tracking.mlflow.legal import legal_names, legal_text
from orchestrator.tracking.mlflow.mirrored_run import MirroredRun, Points
from orchestrator.tracking.mlflow.tracker import Tracker
from tests.orchestrator.invented_sweep import EPOCHS, begin, end, invent
from tests.orchestrator.tracking.mirrored import children


def new_run(uri: str, name: str) -> tuple[MlflowClient, MirroredRun]:
    client = connect(uri)
    id = client.create_run(client.create_experiment(name, artifacts_beside(uri))).info.run_id
    return client, MirroredRun(client, id, commit="", tags={}, remarks={})


NAMES = ["recall@1", "recall_1", "a//b", "../up", "/root", "", ".", "x" * 300, "tab\there", "é/ok", "\udcff", "..x"]


def test_names_are_made_legal_each_to_one_of_its_own(uri: str) -> None:
    names = legal_names(NAMES)
    assert len(set(names.values())) == len(NAMES)
    assert {name: legal for name, legal in names.items() if name == legal} == {"recall_1": "recall_1", "é/ok": "é/ok"}
    client, run = new_run(uri, "legal names")
    run.send_points([Points(dict.fromkeys(NAMES, 0.5), 1000, 1)])
    run.send_params(dict.fromkeys(NAMES, "x\udcff\0"))
    run.send_tags(dict.fromkeys(NAMES, "x" * 9000))
    found = client.get_run(run.id).data
    assert set(found.metrics) == set(found.params) == set(names.values()) <= set(found.tags)
    assert set(found.params.values()) == {legal_text("x\udcff\0")} == {"x\\udcff\\x00"}


def test_sweep_with_odd_metrics_and_reasons_is_tracked_and_says_what_was_renamed(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "odd", trials=2)
    for number, state in ((0, "finished"), (1, "failed")):
        trial = begin(folder, number)
        for epoch in range(1, EPOCHS + 1):
            report = {
                "epoch": epoch,
                "finished": int(epoch == EPOCHS),
                "val_knn/1": 0.5,
                "loss": 1.0,
                "time/epoch": 1.0,
            }
            trial.append_report(report | {"recall@1": 0.1 * epoch})
        end(trial, state, None if state == "finished" else "cannot read caf\udce9.jpg")
    remarks = Tracker(folder, uri).close(60.0)
    assert remarks == ["MLflow does not accept the metric name 'recall@1'; it is recorded as recall_1"]
    found = children(uri, folder)
    assert found[0].data.metrics["recall_1"] == pytest.approx(0.1 * EPOCHS)
    assert [found[number].info.status for number in (0, 1)] == ["FINISHED", "FAILED"]
    assert found[1].data.tags["reason"] == "cannot read caf\\udce9.jpg"
    assert Tracker(folder, uri).close(60.0) == []  # nothing is sent twice


def test_value_that_a_server_refuses_is_left_out_alone(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = new_run(uri, "refused")
    send = client.log_batch

    def log_batch(id: str, metrics=(), params=(), tags=()) -> None:
        if any(item.key == "bad" for item in (*metrics, *params, *tags)):
            raise MlflowException.invalid_parameter_value("I do not like it")
        send(id, metrics, params, tags)

    monkeypatch.setattr(client, "log_batch", log_batch)
    run.send_points([Points({"epoch": step, "a": 1.0, "bad": 2.0, "c": 3.0}, 1000 * step, step) for step in (1, 2)])
    run.send_params({"a": "1", "bad": "2"})
    found = client.get_run(run.id).data
    assert found.metrics == {"epoch": 2, "a": 1.0, "c": 3.0}
    assert found.params == {"a": "1"}
    assert [remark.partition(",")[0] for remark in run._remarks] == [
        "MLflow refuses the metric bad",
        "MLflow refuses the param bad",
    ]
    client.delete_run(run.id)
    with pytest.raises(MlflowException):  # a new mirror makes another run
        run.send_points([Points({"bad": 2.0}, 3000, 3)])


def test_what_mlflow_lacks_is_said_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.tracking.mlflow import mirror

    def lacking(*_: object) -> None:
        raise MlflowException("so " * 200 + "end") from ModuleNotFoundError("No module named 'boto3'", name="boto3")

    monkeypatch.setattr(mirror, "connect", lacking)
    (problem,) = Tracker(invent(tmp_path / "lacking", trials=1), "http://127.0.0.1:1").close(1.0)
    assert "so so end; pip install 'boto3'" in problem
