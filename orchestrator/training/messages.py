"""Messages from a worker to the driver, flat dicts; a module of its own, because executors read them without torch."""

from collections.abc import Callable, Mapping
from typing import Any

# Sends a message to the driver: a report, or why there will be none.
Tell = Callable[[dict[str, Any]], None]

# Tune flattens results and adds keys of its own; ours have a prefix.
_OURS = "report/"
_GIVEN_UP = "given up"
_STORAGE_FAILURE = "storage failure"


def report(tell: Tell, metrics: Mapping[str, int | float]) -> None:
    """Sends one epoch's report to the driver."""
    tell({_OURS + name: value for name, value in metrics.items()})


def give_up(tell: Tell, reason: str) -> None:
    """Ends the trial as failed; a restart would fail in the same way."""
    tell({_GIVEN_UP: reason})


def lack_storage(tell: Tell, trouble: str) -> None:
    """Stops the sweep: something could not be written because storage is full."""
    tell({_STORAGE_FAILURE: trouble})


def unpack(result: dict[str, Any]) -> dict[str, int | float]:
    """The loop's own report out of what Tune hands on."""
    return {name.removeprefix(_OURS): value for name, value in result.items() if name.startswith(_OURS)}


def given_up(result: dict[str, Any]) -> str | None:
    """Why the trial cannot go on, however often it is started again; or None."""
    return result.get(_GIVEN_UP)


def storage_failure(result: dict[str, Any]) -> str | None:
    """What the trial could not write because storage is full, or None."""
    return result.get(_STORAGE_FAILURE)
