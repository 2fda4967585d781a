"""What MLflow has of a sweep, and what it should have."""

import time
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator.records.folder import SweepFolder
from tests.orchestrator.invented_sweep import EPOCHS, METRIC, begin, end, invent, report


def runs(uri: str, name: str) -> list[Run]:
    """The runs of an experiment."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def children(uri: str, folder: SweepFolder) -> dict[int, Run]:
    """The runs of a sweep's trials, by their numbers."""
    found = [run for run in runs(uri, folder.name) if "mlflow.parentRunId" in run.data.tags]
    numbers = [int(run.data.tags["trial"]) for run in found]
    assert len(set(numbers)) == len(numbers), "a trial has two runs"
    return dict(zip(numbers, found, strict=True))


def parents(uri: str, folder: SweepFolder) -> list[Run]:
    """The runs that stand for the sweep as a whole."""
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
    """A finished, a stopped and a failed trial."""
    folder = invent(path, trials=3)
    for number, state, epochs in ((0, "finished", EPOCHS), (1, "stopped", 3), (2, "failed", 2)):
        trial = begin(folder, number)
        report(trial, *range(1, epochs + 1))
        end(trial, state, None if state == "finished" else f"reason of {number}")
    return folder


def wait_until(condition: Callable[[], object], seconds: float = 150) -> None:
    """Waits for something that another process or thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
