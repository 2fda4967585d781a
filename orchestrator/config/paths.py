"""Dotted paths into nested mappings and lists, as users write them."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.config.mistakes import ConfigError, Mistake, join
from orchestrator.core.registry import suggest


def value_at(run: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a dumped run.

    Raises:
        ConfigError: if the path does not exist; the message suggests the nearest one.
    """
    place: Any = run
    for key in locate(run, path):
        place = place[key]
    return place


def locate(run: Mapping[str, Any], path: str) -> list[str | int]:
    """Split a dotted path into keys; a key may contain dots (a user's module), and a number indexes a list.

    Raises:
        ConfigError: if the path does not exist; the message suggests the nearest one.
    """
    way: list[str | int] = []
    place: Any = run
    rest = path.split(".")
    while rest:
        key, used = _longest_key(place, rest)
        if not used:
            raise ConfigError([Mistake(path, f"names no field of run{suggest(path, list(flatten(run)))}")])
        way.append(key)
        place, rest = place[key], rest[used:]
    return way


def around(path: str, others: Iterable[str]) -> list[str]:
    """Those of `others` that are equal to `path` or contain it."""
    return [other for other in others if f"{path}.".startswith(f"{other}.")]


def flatten(tree: object, path: str = "") -> dict[str, object]:
    """Map every dotted path in nested mappings and lists, sections included, to its value."""
    found: dict[str, object] = {path: tree} if path else {}
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found |= flatten(value, join(path, key))
    return found


def _longest_key(place: object, rest: list[str]) -> tuple[str | int, int]:
    if isinstance(place, Mapping):
        for used in range(len(rest), 0, -1):
            if (key := ".".join(rest[:used])) in place:
                return key, used
    if isinstance(place, list) and rest[0].isdigit() and int(rest[0]) < len(place):
        return int(rest[0]), 1
    return "", 0
