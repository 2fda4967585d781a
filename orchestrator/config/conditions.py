"""Resolves the conditions (`when`) of a search and orders its dimensions by them."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.config.mistakes import ConfigError, Mistake, either, show
from orchestrator.config.paths import around, value_at
from orchestrator.config.run import Json, with_values
from orchestrator.config.search_space import Choice, Dimension, Range


def settled(
    dimension: Dimension, dimensions: Mapping[str, Dimension | None], fixed: Json, mistakes: list[Mistake]
) -> Dimension:
    """Rewrite the conditions of a dimension so that they refer to searched fields only.

    A condition on a fixed field must hold, and is dropped. A condition on a field of a section that is searched as a
    whole becomes a condition on the section: its value must be a choice in which the field has a wanted value, possibly
    by default.

    Args:
        dimension: the dimension as written in the file.
        dimensions: all dimensions by path; None for one that could not be read.
        fixed: the dumped run without searched values.
        mistakes: receives the conditions that can never hold.
    """
    kept: dict[str, tuple[Any, ...]] = {}
    for path, wanted in dimension.when.items():
        where = f"search.{dimension.path}.when.{path}"
        searched = max(around(path, dimensions), key=len, default=None)
        if searched is None:
            mistakes += _unmet(where, path, wanted, fixed)
            continue
        other = dimensions[searched]
        if other is not None and searched == path:
            mistakes += _impossible(where, wanted, other.domain)
        elif other is not None:
            sections = _sections(other, path, wanted, fixed)
            if not sections:
                law = f"can never hold: no choice of search.{searched} has it there"
                mistakes.append(Mistake(where, law, either(wanted)))
            wanted = sections
        kept[searched] = tuple(value for value in kept.get(searched, wanted) if Choice(wanted).holds(value))
    return Dimension(dimension.path, dimension.domain, kept)


def ordered(dimensions: Mapping[str, Dimension], mistakes: list[Mistake]) -> dict[str, Dimension]:
    """Sort dimensions topologically: each after those in its `when` and its sections, otherwise in the file's order.

    Args:
        dimensions: dimensions by path, as returned by `settled`.
        mistakes: receives circular conditions.
    """
    found: dict[str, Dimension] = {}
    while len(found) < len(dimensions):
        rest = {path: dimension for path, dimension in dimensions.items() if path not in found}
        # Setting a section sets all its fields, so fields that are searched separately come after it.
        ready = [path for path, d in rest.items() if not rest.keys() & d.when.keys() and around(path, rest) == [path]]
        if not ready:
            stuck = next(path for path, dimension in rest.items() if dimension.when)
            others = ", ".join(path for path in rest if path != stuck)
            law = f"waits for itself through {others or 'its own value'}; drop one `when`"
            mistakes.append(Mistake(f"search.{stuck}.when", law))
            return dict(dimensions)
        found[ready[0]] = rest[ready[0]]
    return found


def _unmet(where: str, path: str, wanted: tuple[Any, ...], fixed: Json) -> Iterator[Mistake]:
    try:
        value = value_at(fixed, path)
    except ConfigError as error:
        yield from (Mistake(where, wrong.law) for wrong in error.mistakes)
        return
    if not Choice(wanted).holds(value):
        yield Mistake(where, f"can never hold: run.{path} is fixed to {show(value)}", either(wanted))


def _impossible(where: str, wanted: tuple[Any, ...], domain: Range | Choice) -> Iterator[Mistake]:
    if isinstance(domain, Range) and domain.kind != "int":
        yield Mistake(where, f"can never hold: one value of {domain} is never met; search it by choice", either(wanted))
        return
    for value in wanted:
        if not domain.holds(value):
            yield Mistake(where, f"can never hold: the field is searched over {domain}", show(value))


def _sections(dimension: Dimension, path: str, wanted: tuple[Any, ...], fixed: Json) -> tuple[Any, ...]:
    """The dimension's values in which the field at `path` has a wanted value."""
    found = []
    for section in dimension.domain.probes():
        try:
            value = value_at(with_values(fixed, {dimension.path: section}), path)
        except ConfigError:
            continue  # it lacks the field, or is invalid, which is reported elsewhere
        found += [section] if Choice(wanted).holds(value) else []
    return tuple(found)
