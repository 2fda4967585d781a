"""A user's file in the working folder that Python finds before a package of AugSweep, or before one it depends on."""

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_PACKAGES = ("augment", "methods")
_RAY_PACKAGE = "_ray_pkg_"  # on a node of a cluster, Ray unpacks each package into a folder of its own
_LIBRARIES = (
    "jaxtyping",
    "mlflow",
    "numpy",
    "optuna",
    "PIL",
    "pyarrow",
    "pydantic",
    "ray",
    "rich",
    "safetensors",
    "scipy",
    "sqlalchemy",
    "torch",
    "torchvision",
    "yaml",
)


def refuse_shadowing() -> None:
    """Ends a command whose packages are hidden, with one line and exit code 2.

    Called before anything is imported that could be hidden.

    Raises:
        SystemExit: the process was started as `python -m orchestrator.<command>`.
        ImportError: `orchestrator` is imported in any other way.
    """
    problem = shadowing()
    if problem is None:
        return
    if sys.argv[:1] == ["-m"]:  # what it is while `python -m` looks for its module
        sys.stderr.write(f"error: {problem}\n")
        raise SystemExit(2)
    raise ImportError(problem)


def shadowing(folder: Path | None = None) -> str | None:
    """Which file hides which package, and what to do; None where none does.

    Args:
        folder: looked at alone, as if it were first on the path, which it is for Ray's workers; by default the path.
    """
    home = Path(__file__).resolve().parents[2]
    if home.name.startswith(_RAY_PACKAGE):  # shipped by a driver, which has been checked
        return None
    for name in _PACKAGES:
        found = _origin(name, folder)
        if found is not None and home / name not in found.resolve().parents:
            return f"{found} hides AugSweep's package {name}; rename it, or run the command from another folder"
    first = folder or Path(sys.path[0] if sys.path else "").absolute()
    for name in _LIBRARIES:  # packages all, so a single file is a user's
        if (file := first / f"{name}.py").is_file():
            return f"{file} hides the library {name}; rename it, or run the command from another folder"
    return None


def _origin(name: str, folder: Path | None) -> Path | None:
    """The file that an import would run first; None where there is none, or a folder without one."""
    try:
        spec = importlib.util.find_spec(name) if folder is None else PathFinder.find_spec(name, [str(folder)])
    except ValueError:  # it is there already, put together by hand
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None
