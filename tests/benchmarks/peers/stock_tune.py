"""A search with Ray Tune's own parts: OptunaSearch, ASHA, checkpoints through `tune.report`, its MLflow callback.

Actors are reused and the dashboard is off; both are faster than Tune's defaults. Imports nothing from this repository.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from optuna.distributions import FloatDistribution
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks.peers.plain_optuna import sampler
from tests.benchmarks.peers.task import Objective, Task


def _train(config: dict[str, Any], objective: Objective) -> None:
    def report(metrics: dict[str, Any], state: dict) -> None:
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / "state.pt")
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    objective(config, report)


def search(task: Task) -> None:
    """Runs the trials, starting with the given first settings."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    searcher = OptunaSearch(
        {name: FloatDistribution(*bounds) for name, bounds in task.space.items()},
        metric=task.metric,
        mode="max",
        sampler=sampler(0, task.startup),
        points_to_evaluate=[dict(task.first)],
    )
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=task.metric,
        mode="max",
        max_t=task.epochs,
        grace_period=task.grace,
        reduction_factor=2,
    )
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_train, objective=task.objective), {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=task.trials,
            max_concurrent_trials=task.at_a_time,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="peer",
            storage_path=str(task.folder / "tune"),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{task.folder}/mlflow.db", experiment_name="peer")],
            verbose=0,
        ),
    )
    results = tuner.fit()
    assert not results.errors, results.errors
    ray.shutdown()
