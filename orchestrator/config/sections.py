"""Validates the sections of a file with the `Config` classes of their components and collects all mistakes."""

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import ValidationError

from augment.config import Config
from orchestrator.config.mistakes import Mistake, join, show, translate
from orchestrator.core.errors import UserError, printable
from orchestrator.core.registry import find, suggest

C = TypeVar("C", bound=Config)


@runtime_checkable
class Named(Protocol):
    """A `Config` whose field `name` selects the component that it configures."""

    @property
    def name(self) -> str:
        """A file name in the component's package, or the dotted name of a user's module."""
        ...

    def __iter__(self) -> Generator[tuple[str, Any], None, None]: ...


def section(tree: Mapping[str, Any], name: str, mistakes: list[Mistake]) -> dict[str, Any]:
    """Get a section of a file, empty if it is missing or not a mapping; `mistakes` receives its errors."""
    found = tree.get(name, {})
    if isinstance(found, dict):
        return found
    mistakes.append(Mistake(name, "must be a mapping (key: value); write {} for none", show(found)))
    return {}


def strangers(tree: Mapping[str, Any], sections: Sequence[str]) -> list[Mistake]:
    """Mistakes for the keys of a file that are not sections."""
    return [
        Mistake(key or '""', f"unknown key{suggest(key, list(sections))}", show(tree[key]))
        for key in tree.keys() - set(sections)
    ]


def read(model: type[C], raw: Any, path: str, mistakes: list[Mistake]) -> C | None:
    """Validate a section with its model; if it is invalid, return None and add its errors to `mistakes`."""
    try:
        # From JSON, which has YAML's types: strict mode then accepts a list for a tuple, but no string for a number.
        return model.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        mistakes += translate(error, model, path)
    return None


def named(package: str, raw: Any, path: str, mistakes: list[Mistake]) -> dict[str, Config | None]:
    """Validate a mapping of component names to settings with the components; `mistakes` receives the errors."""
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path, "must be a mapping (name: settings)", show(raw)))
        return {}
    configs: dict[str, Config | None] = {}
    for name, settings in raw.items():
        where = join(path, name)
        try:
            configs[name] = read(find(package, name).Config, settings, where, mistakes)
        except UserError as error:
            mistakes.append(Mistake(where, printable(str(error))))
    return configs


def chosen(package: str, raw: Mapping[str, Any], path: str, mistakes: list[Mistake]) -> Config | None:
    """Validate the settings of the component that their key `name` selects; `mistakes` receives the errors."""
    name = raw.get("name")
    if not isinstance(name, str):
        mistakes.append(Mistake(f"{path}.name", "the name of a component must be given", show(name) if name else ""))
        return None
    try:
        return read(find(package, name).Config, raw, path, mistakes)
    except UserError as error:
        mistakes.append(Mistake(f"{path}.name", printable(str(error)), name))
    return None
