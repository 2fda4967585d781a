"""Who leads a sweep, read from its folder alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.folder import Record, SweepFolder, TrialFolder
from orchestrator.spec import yaml_file
from orchestrator.spec.sweep_config import Goal, read_sweep


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
    return yaml_file.parse(folder.file.read_text(encoding="utf-8"))


def leaders(folder: SweepFolder) -> list[list[Standing]]:
    """Who led after each finished trial, in the order they finished; empty before the first, the last ones lead.

    One trial leads a search for one metric, a Pareto front one for several. Stopped and failed trials do not compete:
    their last report is not of a full budget. Nor do repeats with other seeds.
    """
    finished = []
    for trial in folder.trials():
        result = trial.result()
        if result is not None and result["state"] == "finished":
            value = result["value"]
            values = tuple(value) if isinstance(value, list) else (value,)
            finished.append((trial.result_file.stat().st_mtime_ns, Standing(trial, values)))
    aims = goals(folder)
    led: list[list[Standing]] = []
    for _, standing in sorted(finished, key=lambda pair: (pair[0], pair[1].trial.number)):
        known = {one.trial.number: one for one in [*(led[-1] if led else []), standing]}
        led.append([known[number] for number in front({n: one.values for n, one in known.items()}, aims)])
    return led


def front(scores: Mapping[int, Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """The trials that no other one beats, the best by the first goal first; with one goal that is one trial.

    A trial beats another that is better in no goal, and worse in one or asked later: so of equals the one asked first
    leads, whoever finished when.

    Args:
        scores: by a trial's number, a value for each goal.
        goals: at least one.
    """
    ranked = sorted((*costs(values, goals), number) for number, values in scores.items())
    # Only an earlier one in this order can be no worse in every goal.
    return [
        int(one[-1])
        for place, one in enumerate(ranked)
        if not any(all(a <= b for a, b in zip(other[:-1], one[:-1], strict=True)) for other in ranked[:place])
    ]


def costs(values: Sequence[float], goals: Sequence[Goal]) -> tuple[float, ...]:
    """A value for each goal, turned so that less is better."""
    return tuple(goal.cost(value) for goal, value in zip(goals, values, strict=True))
