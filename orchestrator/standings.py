"""Who leads a sweep, read from its folder alone."""

from dataclasses import dataclass

from orchestrator.folder import Record, SweepFolder, TrialFolder
from orchestrator.spec import yaml_file


@dataclass(frozen=True)
class Standing:
    """A finished trial and the value of the sweep's metric in its last report."""

    trial: TrialFolder
    value: float


def goal(folder: SweepFolder) -> tuple[str, str]:
    """The metric that the sweep is about, and `max` or `min`."""
    sweep = settings(folder)["sweep"]
    return sweep["metric"], sweep["mode"]


def settings(folder: SweepFolder) -> Record:
    """The sweep's resolved file: `sweep`, `run` and `search`."""
    return yaml_file.parse(folder.file.read_text(encoding="utf-8"))


def leaders(folder: SweepFolder) -> list[Standing]:
    """The best trial after each finished one, in the order they finished; empty before the first, the last one leads.

    Stopped and failed trials do not compete: their last report is not of a full budget.
    """
    _, mode = goal(folder)
    finished = []
    for trial in folder.trials():
        result = trial.result()
        if result is not None and result["state"] == "finished":
            finished.append((trial.result_file.stat().st_mtime_ns, Standing(trial, result["value"])))
    led: list[Standing] = []
    for _, standing in sorted(finished, key=lambda pair: (pair[0], pair[1].trial.number)):
        led.append(min([standing, *led[-1:]], key=lambda one: rank(one.value, one.trial.number, mode)))
    return led


def rank(value: float, number: int, mode: str) -> tuple[float, int]:
    """By which finished trials lead, the lowest first; of equals the one asked first, whoever finished when."""
    return (-value if mode == "max" else value), number
