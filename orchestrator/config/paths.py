"""Dotted paths into a tree of mappings and lists, as they are written in a file of the user's."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.config.mistakes import ConfigError, Mistake, join
from orchestrator.core.registry import suggest


def value_at(run: Mapping[str, Any], path: str) -> Any:
    """What a dumped run holds at a dotted path.

    Raises:
        ConfigError: if the path names nothing in the run; the nearest path is offered.
    """
    place: Any = run
    for key in locate(run, path):
        place = place[key]
    return place


def locate(run: Mapping[str, Any], path: str) -> list[str | int]:
    """The keys that a dotted path stands for; a key may hold dots itself (a user's module), a number indexes a list.

    Raises:
        ConfigError: if the path names nothing in the run; the nearest path is offered.
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
    """Those of some paths that a dotted path is, or lies below."""
    return [other for other in others if f"{path}.".startswith(f"{other}.")]


def flatten(tree: object, path: str = "") -> dict[str, object]:
    """Every dotted path below a tree of mappings and lists, sections included, with what lies there."""
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
