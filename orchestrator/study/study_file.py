"""Loads a study from a file and the command line's overrides, and validates it completely."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.config import yaml_file
from orchestrator.config.mistakes import ConfigError, Mistake
from orchestrator.config.overrides import change, located
from orchestrator.config.paths import around
from orchestrator.config.run import Json, RunConfig, resolve, with_values
from orchestrator.config.search_space import Space
from orchestrator.config.sections import section, strangers
from orchestrator.config.sweep import COMPONENTS, SweepConfig, read_sweep
from orchestrator.core.errors import UserError
from orchestrator.study.checks import check_data, check_on_data, check_run, check_settings, check_sweep
from orchestrator.study.search_section import check_comparable, check_enqueued, check_values_on_data, read_space

_SECTIONS = ("sweep", "run", "search")
SEARCH_SPACES = Path("search_spaces")
T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """A study file, validated and with all defaults.

    Args:
        file: path as the user gave it.
        sweep: how to search.
        run: settings that the trials share; a searched field has its value here where its dimension does not exist.
        search: the section `search:` as written.
        space: the search space that it describes.
    """

    file: Path
    sweep: SweepConfig
    run: RunConfig
    search: Json
    space: Space

    def dump(self) -> Json:
        """The complete file, with all defaults written out."""
        return {"sweep": self.sweep.dump(), "run": self.run.dump(), "search": self.search}

    def trial(self, number: int, values: Mapping[str, Any]) -> Json:
        """A complete study file that runs one trial alone.

        Args:
            number: number of the trial, for the name of the sweep.
            values: values that the space suggested.

        Raises:
            ConfigError: if the values do not make a valid run.
        """
        run = resolve(with_values(self.run.dump(), values))
        if mistakes := check_run(run):
            raise ConfigError(mistakes)
        alone = {"name": f"{self.sweep.name}-{number:04d}", "trials": 1, "concurrency": 1}
        alone |= {"enqueue": [], "confirm": None}
        return {"sweep": {**self.sweep.dump(), **alone}, "run": run.dump(), "search": {}}


def load_study(path: Path, sets: Sequence[str] = (), *, trials: int | None = None) -> Study:
    """Load a study file, apply overrides and validate the result.

    Args:
        path: path of the YAML file.
        sets: overrides, each `path=value` with a path from the root of the file and a value in YAML.
        trials: shorthand for the override `sweep.trials=<trials>`.

    Raises:
        UserError: with one line per mistake.
    """
    mistakes: list[Mistake] = []
    sections, changed = _sections(path, [*sets, *([f"sweep.trials={trials}"] if trials is not None else [])], mistakes)
    if mistakes:
        raise located(mistakes, path, changed)
    sections["sweep"].setdefault("name", path.stem)
    study = _checked(path, sections, changed, mistakes)
    if study is None or mistakes:
        raise located(mistakes, path, changed)
    return study


def executor_name(path: Path, sets: Sequence[str]) -> str:
    """Name of the executor in a file, or the default; mistakes in the file are ignored.

    Raises:
        UserError: if the file is not a study in YAML.
    """
    sections, _ = _sections(path, sets, [])
    executor = sections["sweep"].get("executor")
    name = executor.get("name") if isinstance(executor, Mapping) else None
    return name if isinstance(name, str) else COMPONENTS["executor"][1]


def _sections(path: Path, changes: Sequence[str], mistakes: list[Mistake]) -> tuple[dict[str, Json], set[str]]:
    """The sections of a file with overrides applied, and the paths of the overrides."""
    tree = yaml_file.read(path, _SECTIONS, SEARCH_SPACES)
    of_study = {"sections": _SECTIONS, "example": "run.training.epochs=1", "whole": ("search",)}
    changed = {change(tree, text, mistakes, **of_study) for text in changes}
    mistakes += strangers(tree, _SECTIONS)
    return {name: section(tree, name, mistakes) for name in _SECTIONS}, changed


def _checked(path: Path, sections: Mapping[str, Json], changed: set[str], mistakes: list[Mistake]) -> Study | None:
    """Build a study from its sections, or return None; checks every part that does not depend on invalid ones."""
    sweep = _try(lambda: read_sweep(sections["sweep"]), mistakes)
    run = _try(lambda: resolve(sections["run"]), mistakes)
    if run is None:
        return None
    mistakes += check_settings(run)
    space = _try(lambda: read_space(sections["search"], run), mistakes)
    if sweep is None:
        return None
    mistakes += check_sweep(sweep, run, searched=bool(sections["search"]))
    if space is None:
        return None
    mistakes += _hidden_changes(changed, space)
    if sweep.confirm is not None and any(dimension.path == "seed" for dimension in space.dimensions):
        mistakes.append(Mistake("search.seed", "must not be searched, since sweep.confirm chooses the seeds; drop one"))
    _try(lambda: check_comparable(space, sweep, run), mistakes)
    _try(lambda: check_enqueued(sweep.enqueue, space, run), mistakes)
    study = Study(path, sweep, run, sections["search"], space)
    if not mistakes:
        mistakes += _seen_in_data(study)
    return study


def _seen_in_data(study: Study) -> list[Mistake]:
    """Mistakes that depend on the data, which may have to be downloaded and decoded; run after all other checks."""
    mistakes = check_on_data(study.run)
    if not mistakes:
        _try(lambda: check_values_on_data(study.space, study.sweep.enqueue, study.run), mistakes)
    if not mistakes:
        _try(lambda: check_data(study.run), mistakes)
    return mistakes


def _try(read: Callable[[], T], mistakes: list[Mistake]) -> T | None:
    try:
        return read()
    except ConfigError as error:
        mistakes += error.mistakes
    except UserError as error:
        mistakes.append(Mistake("", str(error)))
    return None


def _hidden_changes(changed: set[str], space: Space) -> list[Mistake]:
    """Overrides of fields that every trial overwrites, possibly as part of a whole section."""
    always = [dimension.path for dimension in space.dimensions if not dimension.when]
    hidden = {path: around(path.removeprefix("run."), always) for path in sorted(changed) if path.startswith("run.")}
    law = "{0} is searched, so every trial has its own; set search.{0} instead"
    return [Mistake(path, law.format(by[-1])) for path, by in hidden.items() if by]
