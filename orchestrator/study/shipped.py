"""The search spaces that ship with AugSweep, by name."""

from pathlib import Path

import orchestrator

_PACKAGE = Path(orchestrator.__file__ or "").parent
_INSTALLED = _PACKAGE / "search_spaces"
FOLDER = (
    _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "search_spaces"
)  # in a clone they are next to the package


def names() -> list[str]:
    """Names of the search spaces, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def path_of(file: str) -> str:
    """Resolve the study on the command line to a path.

    Args:
        file: path of a YAML file, its address in a bucket, or the name of a shipped search space, such as `msr`. An
            existing file of that name takes precedence.

    Raises:
        UserError: if it looks like a name and no search space has it.
    """
    if "/" in file or "." in file or Path(file).exists():
        return file
    if file not in names():
        from orchestrator.core.errors import UserError
        from orchestrator.core.registry import suggest  # imported lazily to keep `--help` fast

        raise UserError(f"{file}: no such file or search space{suggest(file, names())}")
    return str(FOLDER / f"{file}.yaml")
