"""The conditions (`when`) of a search: what each comes down to, and the order in which they let fields be drawn."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.config.mistakes import ConfigError, Mistake, either, show
from orchestrator.config.paths import around, value_at
from orchestrator.config.run import Json, with_values
from orchestrator.config.search_space import Choice, Dimension, Range


def settled(
    dimension: Dimension, dimensions: Mapping[str, Dimension | None], fixed: Json, mistakes: list[Mistake]
) -> Dimension:
    """The dimension with conditions on searched fields only.

    One on a fixed field must hold, and is dropped. One on a field in a section that is searched as a whole becomes one
    on that section: it must be one of the choices that have a wanted value there, be it by default.

    Args:
        dimension: as it is written.
        dimensions: all there are by path, None for one that could not be read.
        fixed: the run as it is where nothing is searched.
        mistakes: gets the conditions that can never hold.
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
    """The dimensions, each after those its `when` names and the sections it lies in, and otherwise as in the file.

    Args:
        dimensions: by path, settled.
        mistakes: gets conditions that go in a circle.
    """
    found: dict[str, Dimension] = {}
    while len(found) < len(dimensions):
        rest = {path: dimension for path, dimension in dimensions.items() if path not in found}
        # A section that is put into a run brings all its fields, so those that are searched themselves come after it.
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
    """Those values of the dimension that have a wanted one at the path below it."""
    found = []
    for section in dimension.domain.probes():
        try:
            value = value_at(with_values(fixed, {dimension.path: section}), path)
        except ConfigError:
            continue  # it has no such field; or it is invalid, which is reported elsewhere
        found += [section] if Choice(wanted).holds(value) else []
    return tuple(found)
