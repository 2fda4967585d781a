"""Looks components up by name: a component is a file in its package, or a user's own module."""

import importlib
import pkgutil
import traceback
from difflib import get_close_matches
from types import ModuleType

from augment.config import Config
from orchestrator.core.errors import UserError, named

_FEW = 16
_HOUSE = ("augment", "methods", "orchestrator")
_EXTRAS = ("timm",)  # of pyproject.toml, each named after the one library that it brings
_user_packages: set[str] = set()


def find(package: str, name: str) -> ModuleType:
    """The module of a component, which defines its `Config`.

    Args:
        package: the package of components of this kind, such as `methods` or `augment.ops`.
        name: a file name in that package, or the dotted name of a module of the user's own (`mylab.methods.vicreg`).

    Raises:
        UserError: if there is no such module, if it cannot be imported, or if it defines no `Config`.
    """
    if name.startswith(".") or "/" in name or name.endswith(".py"):
        law = "write mylab.vicreg for the file mylab/vicreg.py, with the folder that holds mylab on PYTHONPATH"
        raise UserError(f"{name} is not the dotted name of a module: {law}")
    full = name if "." in name else f"{package}.{name}"
    try:
        module = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{full}.".startswith(f"{error.name}."):
            remedy = f"; pip install '.[{error.name}]'" if error.name in _EXTRAS else ""
            law = f"it needs {error.name}, which is not installed{remedy}"
            raise UserError(f"{full} cannot be imported: {law}") from error
        if "." in name:
            raise UserError(f"there is no module {name}: is its folder on PYTHONPATH?") from error
        raise UserError(f"{package} has no {name}{suggest(name, names(package))}") from error
    except Exception as error:  # it is the module's own code that is run
        raise UserError(f"{full} cannot be imported: {_told(error)}") from error
    if not _is_component(module):
        known = "" if "." in name else suggest(name, names(package))
        raise UserError(f"{full} is no component: it defines no Config(augment.config.Config){known}")
    if full.partition(".")[0] not in _HOUSE:
        _user_packages.add(full.partition(".")[0])
    return module


def user_packages() -> list[str]:
    """Top-level packages of the user's own components found so far; workers need them too."""
    return sorted(_user_packages)


def names(package: str) -> list[str]:
    """Names of the components in one of our packages, sorted: its modules that define a `Config`.

    One whose library is not installed is left out.
    """
    home = importlib.import_module(package)
    found = []
    for entry in pkgutil.iter_modules(home.__path__):
        try:
            module = importlib.import_module(f"{package}.{entry.name}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in _HOUSE:
                raise
        else:
            found += [entry.name] if _is_component(module) else []
    return sorted(found)


def suggest(name: str, known: list[str]) -> str:
    """The end of an error message about an unknown name: the nearest known name, or all if they are few."""
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    if len(known) > _FEW:
        return ""
    return f"; known are {', '.join(known)}" if known else "; none is known"


def _told(error: Exception) -> str:
    """What went wrong in a module's code, and in which line of it."""
    what = named(error)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    # A SyntaxError has no frame in the module; its own message says where it is.
    return f"{what} ({lines[-1].filename}, line {lines[-1].lineno})" if lines else what


def _is_component(module: ModuleType) -> bool:
    config = getattr(module, "Config", None)
    # A module that only imports the base class (a contract page, a part) configures nothing.
    return isinstance(config, type) and issubclass(config, Config) and config is not Config
