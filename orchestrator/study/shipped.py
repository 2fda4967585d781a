"""The search spaces that come with AugSweep, found by name."""

from pathlib import Path

import orchestrator

_PACKAGE = Path(orchestrator.__file__ or "").parent
_INSTALLED = _PACKAGE / "search_spaces"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "search_spaces"  # a clone has them beside the package


def names() -> list[str]:
    """Names of the search spaces, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def path_of(file: str) -> str:
    """The path of the study that a command line names.

    Args:
        file: path of a YAML file, its address in a bucket, or the name of a search space, such as `msr`. A file of the
            user's own with that very name comes first.

    Raises:
        UserError: if it looks like a name and is none.
    """
    if "/" in file or "." in file or Path(file).exists():
        return file
    if file not in names():
        from orchestrator.core.errors import UserError
        from orchestrator.core.registry import suggest  # takes longer to import than help may take

        raise UserError(f"{file}: no such file or search space{suggest(file, names())}")
    return str(FOLDER / f"{file}.yaml")
