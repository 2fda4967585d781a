"""Deliberate damage to a sweep, which the drill's checks must detect."""

from collections.abc import Callable

from mlflow import MlflowClient

from tests.orchestrator.command import Command
from tests.orchestrator.tracking.mirrored import runs

_EARLY = 1  # a distinct time, in milliseconds since 1970: MLflow drops points that are equal to stored ones


def skip_resume(command: Command) -> None:
    """Deletes the checkpoints of interrupted trials."""
    for trial in command.sweep.trials():
        trial.drop_checkpoints()


def drop_trial(command: Command) -> None:
    """Deletes an ended trial."""
    trial = next(trial for trial in command.sweep.trials() if trial.result())
    for path in trial.path.glob("*"):
        path.unlink()


def duplicate_step(command: Command, uri: str) -> None:
    """Logs one epoch of a trial twice to MLflow."""
    run = next(run for run in runs(uri, command.sweep.name) if run.data.tags["trial"] == "0")
    MlflowClient(uri).log_metric(run.info.run_id, "loss", run.data.metrics["loss"], timestamp=_EARLY, step=1)


# Sabotage to apply between a kill and the next run of the command; the other one applies after the command has ended.
BEFORE_GOING_ON: dict[str, Callable[[Command], None]] = {"skip-resume": skip_resume, "drop-trial": drop_trial}
DUPLICATE = "duplicate-step"
NAMES = (*BEFORE_GOING_ON, DUPLICATE)
