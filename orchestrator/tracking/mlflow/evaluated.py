"""Scores of encoders that no sweep trained: one MLflow run per encoder, in a separate experiment."""

import json

from orchestrator.records.test_scores import Scores
from orchestrator.tracking.mlflow.client import artifacts_beside, connect
from orchestrator.tracking.mlflow.legal import NAME_LENGTH, legal_tags, legal_text
from orchestrator.tracking.mlflow.mirrored_run import MirroredRun
from orchestrator.tracking.mlflow.terms import milliseconds, provenance_tags

EXPERIMENT = "evaluations"


def send(found: Scores, uri: str) -> None:
    """Update the encoder's run.

    Args:
        found: the encoder's scores.
        uri: tracking URI.

    Raises:
        Exception: any exception that MLflow raises.
    """
    client, encoder = connect(uri), found.content["encoder"]
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, artifacts_beside(uri))
    provenance = provenance_tags()
    runs = client.search_runs([experiment], f"tags.encoder = '{encoder}'", order_by=["attributes.start_time ASC"])
    if runs:
        id, tags, metrics = runs[0].info.run_id, runs[0].data.tags, runs[0].data.metrics
    else:
        tags, metrics = {"encoder": encoder, "state": "running"} | provenance, {}
        begun = milliseconds(found.file)
        name = legal_text(found.content["subject"], NAME_LENGTH)
        id = client.create_run(experiment, begun, legal_tags(tags), run_name=name).info.run_id
    run = MirroredRun(client, id, commit=provenance["mlflow.source.git.commit"], tags=tags, metrics=metrics)
    run.note_commit()
    data = {row["data"]: f"{row['dataset']} {row['fingerprint']}" for row in found.content["scores"]}
    run.send_tags({"data": json.dumps(data)})
    run.send_results(found.file, found.metrics, step=0)
    run.send_state("finished", reason=None, file=found.file)
