"""What a worker tells the driver, each a flat dict; apart from the trial, for whoever passes it on needs no torch."""

from collections.abc import Callable, Mapping
from typing import Any

# What a worker tells the driver: a report, or why there will be none.
Tell = Callable[[dict[str, Any]], None]

# Tune flattens what it is given and adds keys of its own; ours are found again by the first part of their name.
_OURS = "report/"
_GIVEN_UP = "given up"
_STORAGE_FAILURE = "storage failure"


def report(tell: Tell, metrics: Mapping[str, int | float]) -> None:
    """Hands one epoch to the driver."""
    tell({_OURS + name: value for name, value in metrics.items()})


def give_up(tell: Tell, reason: str) -> None:
    """Ends the trial as failed; to start it again would lead to the same end."""
    tell({_GIVEN_UP: reason})


def lack_storage(tell: Tell, trouble: str) -> None:
    """Ends the sweep for now: something could not be written for want of space."""
    tell({_STORAGE_FAILURE: trouble})


def unpack(result: dict[str, Any]) -> dict[str, int | float]:
    """The loop's own report out of what Tune hands on."""
    return {name.removeprefix(_OURS): value for name, value in result.items() if name.startswith(_OURS)}


def given_up(result: dict[str, Any]) -> str | None:
    """Why the trial cannot go on, however often it is started again; or None."""
    return result.get(_GIVEN_UP)


def storage_failure(result: dict[str, Any]) -> str | None:
    """What the trial could not write for want of space, or None."""
    return result.get(_STORAGE_FAILURE)
