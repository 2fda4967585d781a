"""Parses one entry of the section `search:`: a domain, and the conditions under which it is searched."""

from collections.abc import Mapping
from typing import Any, cast

from orchestrator.config.mistakes import Mistake, show
from orchestrator.config.search_space import Choice, Dimension, Kind, Range
from orchestrator.core.registry import suggest

_KINDS = ("uniform", "log_uniform", "int", "choice")


def read_dimension(path: str, spec: Any, mistakes: list[Mistake]) -> Dimension | None:
    """Parse a dimension, without checking that the run has its field.

    Args:
        path: path of the searched field below `run:`.
        spec: value in the file: a mapping with one domain, and optionally `when`.
        mistakes: receives everything that is wrong with it.

    Returns:
        The dimension, or None if the entry is too incomplete for further checks.
    """
    where = f"search.{path}"
    if not isinstance(spec, Mapping):
        mistakes.append(
            Mistake(where, f"one of {', '.join(_KINDS)} must be given, as in {{uniform: [0.0, 1.0]}}", show(spec))
        )
        return None
    unknown = [key for key in spec if key not in (*_KINDS, "when")]
    mistakes += [
        Mistake(f"{where}.{key}", f"unknown key{suggest(key, [*_KINDS, 'when'])}", show(spec[key])) for key in unknown
    ]
    kinds = [key for key in spec if key in _KINDS]
    if len(kinds) != 1:
        if not unknown:
            mistakes.append(Mistake(where, f"exactly one of {', '.join(_KINDS)} must be given", show(spec)))
        return None
    domain = (_choice if kinds[0] == "choice" else _range)(kinds[0], spec[kinds[0]], where, mistakes)
    when = spec.get("when", {})
    if not isinstance(when, Mapping):
        mistakes.append(Mistake(f"{where}.when", "a mapping (path: value or list of values) must be given", show(when)))
        return None
    conditions = {other: tuple(wanted) if isinstance(wanted, list) else (wanted,) for other, wanted in when.items()}
    return Dimension(path, domain, conditions) if domain else None


def _choice(kind: str, given: Any, where: str, mistakes: list[Mistake]) -> Choice | None:
    where = f"{where}.{kind}"
    if not isinstance(given, list) or not given:
        mistakes.append(Mistake(where, "a list of at least one value must be given", show(given)))
        return None
    twice = [value for place, value in enumerate(given) if Choice(tuple(given[:place])).holds(value)]
    if twice:
        mistakes.append(Mistake(where, f"every value must be there once; {show(twice[0])} is there twice", show(given)))
        return None
    return Choice(tuple(given))


def _range(kind: str, given: Any, where: str, mistakes: list[Mistake]) -> Range | None:
    where = f"{where}.{kind}"
    wanted: tuple[type, ...] = (int,) if kind == "int" else (int, float)
    numbers = isinstance(given, list) and all(isinstance(end, wanted) and not isinstance(end, bool) for end in given)
    if not numbers or len(given) != 2:
        what = "integers" if kind == "int" else "numbers"
        mistakes.append(Mistake(where, f"must be a list of two {what}, [low, high]", show(given)))
        return None
    low, high = given
    if not low < high:
        mistakes.append(Mistake(where, "low < high must hold; to fix a value, write it below run", show(given)))
        return None
    if kind == "log_uniform" and low <= 0:
        mistakes.append(
            Mistake(where, "low > 0 must hold on a logarithmic scale; raise low, or use uniform", show(given))
        )
        return None
    return Range(cast(Kind, kind), low, high) if kind == "int" else Range(cast(Kind, kind), float(low), float(high))
