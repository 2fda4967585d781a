"""One MLflow run, on a real SQLite store."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.storage.path import parse
from orchestrator.tracking.mlflow import mirrored_run
from orchestrator.tracking.mlflow.client import artifacts_beside, connect
from orchestrator.tracking.mlflow.mirrored_run import MirroredRun, Points


class KilledError(Exception):
    """The process ended here."""


def die(*_: object, **__: object) -> None:
    raise KilledError


def new_run(client: MlflowClient, uri: str, name: str) -> str:
    return client.create_run(client.create_experiment(name, artifacts_beside(uri))).info.run_id


def as_a_process_finds_it(client: MlflowClient, id: str) -> MirroredRun:
    return MirroredRun(client, id, commit="", tags={}, metrics=client.get_run(id).data.metrics)


def test_points_that_have_gathered_go_in_few_calls_each_step_whole(uri: str, monkeypatch) -> None:
    client, calls = connect(uri), []
    id = new_run(client, uri, "gathered")
    monkeypatch.setattr(mirrored_run, "_METRICS_PER_CALL", 5)
    send = client.log_batch
    monkeypatch.setattr(client, "log_batch", lambda id, metrics: (calls.append(metrics), send(id, metrics)))
    run = as_a_process_finds_it(client, id)
    run.send_points([Points({"a": 0.1 * step, "b": -step}, 1000 * step, step) for step in range(1, 6)])
    assert [[point.step for point in metrics] for metrics in calls] == [[1, 1, 2, 2], [3, 3, 4, 4], [5, 5]]
    assert run.epoch == 5
    for name, sign in (("a", 0.1), ("b", -1)):
        history = [(point.step, point.value, point.timestamp) for point in client.get_metric_history(id, name)]
        assert sorted(history) == [(step, sign * step, 1000 * step) for step in range(1, 6)]


@pytest.mark.parametrize("call", ["log_artifact", "log_batch"])
def test_results_are_whole_after_a_kill_anywhere(tmp_path: Path, uri: str, monkeypatch, call: str) -> None:
    client, file = connect(uri), parse(tmp_path / "confirm.json")
    id = new_run(client, uri, f"killed in {call}")
    file.write("{}")
    with monkeypatch.context() as patch:
        patch.setattr(client, call, die)
        with pytest.raises(KilledError):
            as_a_process_finds_it(client, id).send_results(file, {"mean": 0.5}, 0)
    as_a_process_finds_it(client, id).send_results(file, {"mean": 0.5}, 0)
    assert [item.path for item in client.list_artifacts(id)] == ["confirm.json"]
    assert client.get_run(id).data.metrics == {"mean": 0.5}


def test_results_with_the_same_numbers_are_sent_when_their_file_says_something_else(
    tmp_path: Path, uri: str, monkeypatch
) -> None:
    client, file = connect(uri), parse(tmp_path / "test.json")
    id = new_run(client, uri, "same numbers")

    def sent(by: MirroredRun, content: str) -> str:
        file.write(content)
        by.send_results(file, {"accuracy": 0.5}, 0)
        return Path(client.download_artifacts(id, "test.json")).read_text(encoding="utf-8")

    first = as_a_process_finds_it(client, id)
    assert sent(first, '{"test_uses": 1}') == '{"test_uses": 1}'
    assert sent(first, '{"test_uses": 2}') == '{"test_uses": 2}'  # of the same size
    assert sent(as_a_process_finds_it(client, id), '{"test_uses": 3}') == '{"test_uses": 3}'
    for call in ("log_artifact", "log_batch"):
        monkeypatch.setattr(client, call, die)
    assert sent(first, '{"test_uses": 2}') == '{"test_uses": 3}'  # what it sent itself is not sent again
