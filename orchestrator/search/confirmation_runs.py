"""Repeats with new seeds after a search: the best settings, and the enqueued ones that they have to beat."""

import json
from collections.abc import Mapping, Sequence

from augment.draws import derive_seed
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.trial_number import repeat_number
from orchestrator.records.leaderboard import costs, front
from orchestrator.search.trial_state import End, Trial, Values


class Repeats:
    """The source of trials after the search: it proposes repeats, learns nothing and stops no trial.

    What is repeated depends on the searched trials alone, and a repeat's number on its trial and its seed alone: a
    sweep cut off or extended finds every repeat that it has already made.

    Args:
        searched: every trial of a search that is over, by number.
        sweep: with its `confirm`.

    Attributes:
        seeds: the new ones, the same for every setting.
        settings: the trials whose settings are repeated, those that lead first, then those that were enqueued.
        baselines: those of them that were enqueued.
        numbers: of all repeats, seed by seed, so that an interruption leaves complete rounds.
    """

    def __init__(self, searched: Mapping[int, Trial], sweep: SweepConfig) -> None:
        assert sweep.confirm is not None
        places = range(1, sweep.confirm.seeds + 1)
        self.seeds = [derive_seed(sweep.seed, "confirm", place) for place in places]
        firsts = _first_of_equals(searched)
        enqueued = [number for number in searched if number < len(sweep.enqueue)]
        best = list(dict.fromkeys(firsts[number] for number in _ranked(searched, sweep)))[: sweep.confirm.top]
        self.baselines = list(dict.fromkeys(firsts[number] for number in enqueued if number in firsts))
        self.settings = list(dict.fromkeys([*best, *self.baselines]))
        self._values: dict[int, Values] = {
            repeat_number(number, place): {**searched[number].values, "seed": seed}
            for place, seed in zip(places, self.seeds, strict=True)
            for number in self.settings
        }
        self.numbers = list(self._values)

    def values(self, number: int) -> Values:
        """The settings of a repeat: its trial's, with another seed of the run."""
        return self._values[number]

    def report(self, number: int, value: float, epoch: int) -> None:
        """Do nothing: repeats are not part of the search."""

    def should_stop(self, number: int) -> bool:
        """Every repeat gets its full budget."""
        return False

    def tell(self, number: int, end: End, value: Sequence[float] | None) -> None:
        """Do nothing: repeats are a selected subset, from which the sampler must not learn."""


def _ranked(searched: Mapping[int, Trial], sweep: SweepConfig) -> list[int]:
    """The finished trials, best first; with several metrics only the Pareto front, ordered by the first metric."""
    scores = {n: trial.values_of(sweep.goals) for n, trial in searched.items() if trial.state == "finished"}
    if len(sweep.goals) > 1:
        return front(scores, sweep.goals)
    return sorted(scores, key=lambda number: (*costs(scores[number], sweep.goals), number))


def _first_of_equals(searched: Mapping[int, Trial]) -> dict[int, int]:
    """For each trial that has not failed, the first trial with the same settings."""
    firsts: dict[str, int] = {}
    alive = {number: trial for number, trial in sorted(searched.items()) if trial.state != "failed"}
    keys = {number: json.dumps(trial.values, sort_keys=True) for number, trial in alive.items()}
    return {number: firsts.setdefault(key, number) for number, key in keys.items()}
