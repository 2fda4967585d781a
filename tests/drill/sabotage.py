"""Damage done to a sweep behind the program's back: checks that do not see it are no good."""

from collections.abc import Callable

from mlflow import MlflowClient

from tests.orchestrator.command import Command
from tests.orchestrator.tracking.mirrored import runs

_EARLY = 1  # a time of its own, in milliseconds since 1970: MLflow keeps a point that is there already once


def skip_resume(command: Command) -> None:
    """Trials that were cut off have nothing to go on from."""
    for trial in command.sweep.trials():
        trial.drop_checkpoints()


def drop_trial(command: Command) -> None:
    """A trial that has ended is gone."""
    trial = next(trial for trial in command.sweep.trials() if trial.result())
    for path in trial.path.glob("*"):
        path.unlink()


def duplicate_step(command: Command, uri: str) -> None:
    """One trial's run has an epoch twice."""
    run = next(run for run in runs(uri, command.sweep.name) if run.data.tags["trial"] == "0")
    MlflowClient(uri).log_metric(run.info.run_id, "loss", run.data.metrics["loss"], timestamp=_EARLY, step=1)


# Those that are done between a kill and the same command; the other one is done once the command has ended.
BEFORE_GOING_ON: dict[str, Callable[[Command], None]] = {"skip-resume": skip_resume, "drop-trial": drop_trial}
DUPLICATE = "duplicate-step"
NAMES = (*BEFORE_GOING_ON, DUPLICATE)
