"""MLflow holds no encoder that the sweep did not keep."""

from pathlib import Path

from mlflow import MlflowClient

from orchestrator.tracking.mlflow.mirror import Mirror
from tests.orchestrator.invented_sweep import begin, end, invent, report
from tests.orchestrator.tracking.mirrored import children


def test_only_an_encoder_that_is_kept_is_sent(tmp_path: Path, uri: str) -> None:
    folder = invent(tmp_path / "kept", trials=2)
    for number in (0, 1):
        trial = begin(folder, number)
        report(trial, *range(1, 7))
        end(trial, "finished")
    folder.trial(0).encoder_weights.unlink()
    Mirror(folder, uri).send_all(over=True)
    files = {
        number: {item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)}
        for number, run in children(uri, folder).items()
    }
    assert files == {0: {"config.yaml"}, 1: {"config.yaml", "encoder.safetensors", "encoder.json"}}
