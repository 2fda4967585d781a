"""Who leads a sweep, read from its folder alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.config.sweep import Goal, read_sweep
from orchestrator.core.trial_number import origin_and_place
from orchestrator.records.folder import Record, SweepFolder, TrialFolder


@dataclass(frozen=True)
class Standing:
    """A finished trial and the values of the sweep's metrics at its end."""

    trial: TrialFolder
    values: tuple[float, ...]


def goals(folder: SweepFolder) -> tuple[Goal, ...]:
    """What the sweep is about."""
    return read_sweep(settings(folder)["sweep"]).goals


def settings(folder: SweepFolder) -> Record:
    """The sweep's resolved file: `sweep`, `run` and `search`."""
    return folder.settings()


class Standings:
    """Who led after each finished trial, in the order they finished.

    One trial leads a search for one metric, a Pareto front one for several. Stopped and failed trials do not compete:
    their last report is not of a full budget. Nor do repeats with other seeds.

    Args:
        folder: of the sweep; a result is read from it once, for it never changes.

    Attributes:
        goals: what the sweep is about.
        trials: the numbers of those that there are.
        ended: which of them are over.
        led: empty before the first finished trial; the last ones lead.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self.goals = goals(folder)
        self.trials: set[int] = set()
        self.ended: set[int] = set()
        self.led: list[list[Standing]] = []
        self.update(folder.trials())

    def update(self, trials: Iterable[TrialFolder]) -> None:
        """Looks anew at some trials; those that have finished since have done so in the order of their results."""
        finished = []
        for trial in trials:
            if trial.number in self.ended or origin_and_place(trial.number)[1]:
                continue
            self.trials.add(trial.number)
            result = trial.result()
            if result is None:
                continue
            self.ended.add(trial.number)
            if result["state"] == "finished":
                value = result["value"]
                values = tuple(value) if isinstance(value, list) else (value,)
                finished.append((trial.result_file.modified(), trial.number, Standing(trial, values)))
        for _, _, standing in sorted(finished, key=lambda one: one[:2]):
            known = {one.trial.number: one for one in [*(self.led[-1] if self.led else []), standing]}
            scores = {number: one.values for number, one in known.items()}
            self.led.append([known[number] for number in front(scores, self.goals)])


def front(scores: Mapping[int, Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """The trials that no other one beats, the best by the first goal first; with one goal that is one trial.

    A trial beats another that is better in no goal, and worse in one or asked later: so of equals the one asked first
    leads, whoever finished when.

    Args:
        scores: by a trial's number, a value for each goal.
        goals: at least one.
    """
    ahead: list[tuple[float, ...]] = []
    for one in sorted((*costs(values, goals), number) for number, values in scores.items()):
        # Only an earlier one in this order can be no worse in every goal, and what beats one that is beaten beats all
        # that it beats.
        if not any(all(a <= b for a, b in zip(other[:-1], one[:-1], strict=True)) for other in ahead):
            ahead.append(one)
    return [int(one[-1]) for one in ahead]


def costs(values: Sequence[float], goals: Sequence[Goal]) -> tuple[float, ...]:
    """A value for each goal, turned so that less is better."""
    return tuple(goal.cost(value) for goal, value in zip(goals, values, strict=True))
