"""A search as Optuna's tutorials write it: a journal on disk, successive halving, several processes where more than one
trial is wanted at a time. It keeps neither checkpoints nor a tracking server. Imports nothing of this repository.
"""

import multiprocessing
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

# Trains with some parameters, and tells of each epoch with the state that it could be gone on with from there.
Objective = Callable[[Mapping[str, float], Callable[[dict[str, Any], dict], None]], None]


def sampler(seed: int, startup: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
        )


def search(
    objective: Objective,
    space: Mapping[str, tuple[float, float]],
    first: Mapping[str, float],
    *,
    metric: str,
    trials: int,
    at_a_time: int,
    grace: int,
    startup: int,
    folder: Path,
) -> None:
    """Runs the trials, `first` before all others; `trials` must be a multiple of `at_a_time`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = str(folder / "study.journal")
    optuna.create_study(study_name="peer", storage=_storage(journal), direction="maximize").enqueue_trial(dict(first))
    work = partial(_optimize, objective, space, metric, trials // at_a_time, grace, startup, journal)
    if at_a_time == 1:
        work(0)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(seed,)) for seed in range(at_a_time)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def _storage(journal: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(journal))


def _optimize(
    objective: Objective,
    space: Mapping[str, tuple[float, float]],
    metric: str,
    trials: int,
    grace: int,
    startup: int,
    journal: str,
    seed: int,
) -> None:
    def run(trial: optuna.Trial) -> float:
        value = float("nan")

        def report(metrics: dict[str, Any], state: dict) -> None:
            nonlocal value
            value = metrics[metric]
            trial.report(value, metrics["epoch"])
            if not metrics["finished"] and trial.should_prune():
                raise optuna.TrialPruned

        objective({name: trial.suggest_float(name, *bounds) for name, bounds in space.items()}, report)
        return value

    study = optuna.load_study(
        study_name="peer",
        storage=_storage(journal),
        sampler=sampler(seed, startup),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=2),
    )
    study.optimize(run, n_trials=trials)
