"""A search as in Optuna's tutorials: a journal on disk, successive halving, one process per concurrent trial.

It has neither checkpoints nor a tracking server. Imports nothing from this repository.
"""

import multiprocessing
import warnings
from functools import partial
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.benchmarks.peers.task import Task


def sampler(seed: int, startup: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
        )


def search(task: Task) -> None:
    """Runs the trials, starting with the given first settings; `trials` must be a multiple of `at_a_time`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name="peer", storage=_storage(task), direction="maximize").enqueue_trial(dict(task.first))
    work = partial(_optimize, task)
    if task.at_a_time == 1:
        work(0)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(seed,)) for seed in range(task.at_a_time)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def _storage(task: Task) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(task.folder / "study.journal")))


def _optimize(task: Task, seed: int) -> None:
    def run(trial: optuna.Trial) -> float:
        value = float("nan")

        def report(metrics: dict[str, Any], state: dict) -> None:
            nonlocal value
            value = metrics[task.metric]
            trial.report(value, metrics["epoch"])
            if not metrics["finished"] and trial.should_prune():
                raise optuna.TrialPruned

        task.objective({name: trial.suggest_float(name, *bounds) for name, bounds in task.space.items()}, report)
        return value

    study = optuna.load_study(
        study_name="peer",
        storage=_storage(task),
        sampler=sampler(seed, task.startup),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=task.grace, reduction_factor=2),
    )
    study.optimize(run, n_trials=task.trials // task.at_a_time)
