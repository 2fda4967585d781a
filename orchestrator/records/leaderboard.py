"""The leading trials of a sweep, read from its folder."""

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
    """The metrics that the sweep optimizes."""
    return read_sweep(settings(folder)["sweep"]).goals


def settings(folder: SweepFolder) -> Record:
    """The sweep's resolved file: `sweep`, `run` and `search`."""
    return folder.settings()


class Standings:
    """The leaders after each finished trial, in the order the trials finished.

    One trial leads a search for one metric, a Pareto front one for several. Stopped and failed trials do not compete:
    their last report is not of a full budget. Repeats with other seeds do not compete either.

    Args:
        folder: of the sweep; each result is read once, since it never changes.

    Attributes:
        goals: the metrics that the sweep optimizes.
        trials: the numbers of all trials.
        ended: the numbers of those that have ended.
        history: the leaders after each finished trial; the last entry has the current ones.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self.goals = goals(folder)
        self.trials: set[int] = set()
        self.ended: set[int] = set()
        self.history: list[list[Standing]] = []
        self.update(folder.trials())

    def update(self, trials: Iterable[TrialFolder]) -> None:
        """Read trials again; newly finished ones are added in the order of their results."""
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
            known = {one.trial.number: one for one in [*(self.history[-1] if self.history else []), standing]}
            scores = {number: one.values for number, one in known.items()}
            self.history.append([known[number] for number in front(scores, self.goals)])


def front(scores: Mapping[int, Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """The Pareto front, the best by the first goal first; with one goal it is one trial.

    A trial beats another that is better in no goal, and worse in at least one or started later: of equal trials the one
    with the lower number leads, in whatever order they finished.

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
    """A value for each goal, with its sign changed where needed so that less is better."""
    return tuple(goal.cost(value) for goal, value in zip(goals, values, strict=True))
