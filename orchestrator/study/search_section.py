"""Reads and validates the section `search:` before the search starts."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from orchestrator.config.conditions import ordered, settled
from orchestrator.config.dimension import read_dimension
from orchestrator.config.mistakes import ConfigError, Mistake, either, show
from orchestrator.config.run import RunConfig, resolve, with_values
from orchestrator.config.search_space import Choice, Dimension, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.registry import suggest
from orchestrator.study.checks import check_on_data, check_settings, check_trial

# Functions from a run, and from searched values, to their mistakes.
_Check = Callable[[RunConfig], list[Mistake]]
_Wrong = Callable[[Mapping[str, Any]], list[Mistake]]
# Maximum number of combinations to validate; more would noticeably delay startup.
_CORNERS = 200
# Fields that select the component whose fields are in the same section.
_NAMES = ("dataset.name", "method.name", "encoder.name", "optimizer.name")


def read_space(section: Mapping[str, Any], run: RunConfig) -> Space:
    """Read the search space and check, without data, that every dimension is a field of the run with legal probes.

    Args:
        section: `search:` as read from YAML.
        run: settings in the file; a searched field keeps its value where its dimension does not exist.

    Raises:
        ConfigError: with all mistakes; their paths begin with `search`.
    """
    mistakes: list[Mistake] = []
    read = {path: read_dimension(path, spec, mistakes) for path, spec in section.items()}
    fixed = run.dump()
    known = {path: settled(d, read, fixed, mistakes) for path, d in read.items() if d is not None}
    if not mistakes:
        known = ordered(known, mistakes)
    # A dimension with invalid conditions cannot be validated.
    tried = known if not mistakes else {path: d for path, d in known.items() if not d.when}
    _try_out(tried, _trier(run, check_settings), mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return Space(tuple(known.values()))


def check_comparable(space: Space, sweep: SweepConfig, run: RunConfig) -> None:
    """Reject values that make trials incomparable: by the sweep's metric, or at its rungs.

    Raises:
        ConfigError: with all mistakes; their paths begin with `search`.
    """
    known = {dimension.path: dimension for dimension in space.dimensions}
    mistakes: list[Mistake] = []
    fixed, epochs = run.dump(), run.training.epochs
    already = check_trial(sweep, run, epochs=epochs)

    def wrong(values: Mapping[str, Any]) -> list[Mistake]:
        found = check_trial(sweep, resolve(with_values(fixed, values)), epochs=epochs)
        return [mistake for mistake in found if mistake not in already]

    for dimension in space.dimensions:
        _check_values(dimension, known, wrong, mistakes)
    if mistakes:
        raise ConfigError(mistakes)


def check_enqueued(entries: Sequence[Mapping[str, Any]], space: Space, run: RunConfig) -> None:
    """Reject enqueued settings that are not in the search space.

    Raises:
        ConfigError: with all mistakes; their paths begin with `sweep.enqueue`.
    """
    dimensions = {dimension.path: dimension for dimension in space.dimensions}
    mistakes: list[Mistake] = []
    wrong = _trier(run, check_settings)
    for place, entry in enumerate(entries):
        before = len(mistakes)
        for path, value in entry.items():
            where, dimension = f"sweep.enqueue.{place}.{path}", dimensions.get(path)
            if dimension is None:
                mistakes.append(Mistake(where, f"is not searched{suggest(path, list(dimensions))}", show(value)))
            elif not dimension.domain.holds(value):
                mistakes.append(Mistake(where, f"must lie in {dimension.domain}", show(value)))
            elif not dimension.active(entry):
                mistakes.append(
                    Mistake(where, f"exists only {_terms(dimension)}; add that, or leave this out", show(value))
                )
        if len(mistakes) == before:
            mistakes += _wrong_entry(place, entry, dimensions, wrong)
    if mistakes:
        raise ConfigError(mistakes)


def check_values_on_data(space: Space, entries: Sequence[Mapping[str, Any]], run: RunConfig) -> None:
    """Reject searched and enqueued values whose requirements the data does not meet.

    Raises:
        ConfigError: with all mistakes; their paths begin with `search` or `sweep.enqueue`.
    """
    dimensions = {dimension.path: dimension for dimension in space.dimensions}
    mistakes: list[Mistake] = []
    wrong = _trier(run, check_on_data)
    _try_out(dimensions, wrong, mistakes)
    for place, entry in enumerate(entries):
        mistakes += _wrong_entry(place, entry, dimensions, wrong)
    if mistakes:
        raise ConfigError(mistakes)


def _try_out(dimensions: Mapping[str, Dimension], wrong: _Wrong, mistakes: list[Mistake]) -> None:
    """Validate each dimension alone and then, if there are no mistakes, combinations of all."""
    for dimension in dimensions.values():
        _check_values(dimension, dimensions, wrong, mistakes)
    corners = Space(tuple(dimensions.values())).corners()
    for values in () if mistakes else islice(corners, _CORNERS):
        mistakes += _illegal_together(values, wrong(values))
        if mistakes:
            break


def _check_values(dimension: Dimension, known: Mapping[str, Dimension], wrong: _Wrong, mistakes: list[Mistake]) -> None:
    """Validate the dimension's probes in a setting in which the dimension exists."""
    where = f"search.{dimension.path}"
    needs = _needs(dimension, known)
    for path, wanted in needs.items():
        if not wanted:
            mistakes.append(Mistake(f"{where}.when", f"can never hold: its conditions want different values of {path}"))
            return
    setting = {path: needs[path][0] for path in known if path in needs}
    broken: dict[str, list[Any]] = {}
    for value in dimension.domain.probes():
        found = wrong({**setting, dimension.path: value})
        if missing := [mistake for mistake in found if mistake.path == dimension.path]:  # regardless of the value
            mistakes.append(Mistake(where, missing[0].law, str(dimension.domain)))
            return
        for law in dict.fromkeys(_law(mistake, dimension.path) for mistake in found):
            broken.setdefault(law, []).append(value)
    mistakes += [Mistake(where, law, either(values)) for law, values in broken.items()]


def _law(mistake: Mistake, path: str) -> str:
    """The law of a mistake, in terms of the searched field at `path`."""
    if mistake.path == f"run.{path}":
        return mistake.law
    if path in _NAMES:
        section = path.partition(".")[0]
        return f"each has fields of its own; search {section} as a whole, as in {section}: {{choice: [{{name: ...}}]}}"
    return str(mistake)


def _needs(dimension: Dimension, known: Mapping[str, Dimension]) -> dict[str, list[Any]]:
    """Values of other dimensions for which this one exists, including indirect conditions."""
    needs: dict[str, list[Any]] = {}
    for path, wanted in dimension.when.items():
        for other, values in ((path, wanted), *_needs(known[path], known).items()):
            needs[other] = [value for value in needs.get(other, values) if Choice(tuple(values)).holds(value)]
    return needs


def _illegal_together(values: Mapping[str, Any], wrong: Sequence[Mistake]) -> list[Mistake]:
    shown = ", ".join(f"{path} = {show(value)}" for path, value in values.items())
    return [Mistake("search", f"{shown} do not go together: {mistake}; add a `when`") for mistake in wrong]


def _wrong_entry(
    place: int, entry: Mapping[str, Any], dimensions: Mapping[str, Dimension], wrong: _Wrong
) -> list[Mistake]:
    ordered = {path: entry[path] for path in dimensions if path in entry}
    return [Mistake(f"sweep.enqueue.{place}", str(mistake)) for mistake in wrong(ordered)]


def _trier(run: RunConfig, check: _Check) -> _Wrong:
    """Return a function that finds the mistakes which searched values add to the run."""
    fixed, already = run.dump(), check(run)

    def wrong(values: Mapping[str, Any]) -> list[Mistake]:
        try:
            return [mistake for mistake in check(resolve(with_values(fixed, values))) if mistake not in already]
        except ConfigError as error:
            return error.mistakes

    return wrong


def _terms(dimension: Dimension) -> str:
    return str(dimension).partition("  ")[2]
