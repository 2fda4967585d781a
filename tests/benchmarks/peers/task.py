"""A search that every peer can be asked for. Imports nothing of this repository."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Trains with some parameters, and tells of each epoch with the state that it could be gone on with from there.
Objective = Callable[[Mapping[str, float], Callable[[dict[str, Any], dict], None]], None]


@dataclass(frozen=True)
class Task:
    """What is searched, and how: the same for every peer.

    Args:
        objective: a trial's work.
        space: the bounds of each parameter.
        first: the parameters of the first trial.
        metric: of a report; more is better.
        trials: how many.
        at_a_time: how many of them run side by side.
        epochs: of a whole trial.
        grace: the first epoch after which a trial may be stopped; half of the trials are.
        startup: random trials before the sampler learns.
        folder: where the search may write.
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
    """Has `plain Optuna` or `stock Tune` search; each is imported for it alone, since the one does without Ray."""
    if peer == "plain Optuna":
        from tests.benchmarks.peers import plain_optuna

        plain_optuna.search(task)
    else:
        from tests.benchmarks.peers import stock_tune

        stock_tune.search(task)
