"""The search task that every peer runs. Imports nothing from this repository."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Trains with some parameters and reports each epoch together with the state to resume from.
Objective = Callable[[Mapping[str, float], Callable[[dict[str, Any], dict], None]], None]


@dataclass(frozen=True)
class Task:
    """A search: what is optimised, and how; the same for every peer.

    Args:
        objective: The function that runs a trial.
        space: Bounds of each parameter.
        first: Parameters of the first trial.
        metric: Reported metric to maximise.
        trials: Number of trials.
        at_a_time: Number of concurrent trials.
        epochs: Epochs of a full trial.
        grace: First epoch after which a trial may be stopped; each rung stops half of the trials.
        startup: Number of random trials before the sampler uses its model.
        folder: Folder that the search may write to.
    """

    objective: Objective
    space: Mapping[str, tuple[float, float]]
    first: Mapping[str, float]
    metric: str
    trials: int
    at_a_time: int
    epochs: int
    grace: int
    startup: int
    folder: Path


def search_with(peer: str, task: Task) -> None:
    """Run a search with `plain Optuna` or `stock Tune`; imported on demand, because plain Optuna runs without Ray."""
    if peer == "plain Optuna":
        from tests.benchmarks.peers import plain_optuna

        plain_optuna.search(task)
    else:
        from tests.benchmarks.peers import stock_tune

        stock_tune.search(task)
