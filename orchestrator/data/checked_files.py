"""Files next to a data set's module in the repository, each checked against a committed SHA-256 before use."""

import hashlib
from pathlib import Path

from orchestrator.core.errors import UserError

CHECKSUMS = "checksums.sha256"


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 that each file must have, by file name.

    Raises:
        UserError: if the list is missing.
    """
    # Decoded leniently: a damaged list then shows as a file whose sum differs.
    lines = _content(folder, CHECKSUMS).decode(errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def verify(folder: Path) -> None:
    """Read every file once.

    Raises:
        UserError: if one is missing or damaged.
    """
    for name in checksums(folder):
        read(folder, name)


def read(folder: Path, name: str) -> bytes:
    """The content of one file.

    Raises:
        UserError: if it is missing or damaged.
    """
    content = _content(folder, name)
    expected, actual = checksums(folder).get(name, "unknown"), hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise UserError(
            f"{folder / name} is damaged: its SHA-256 must be {expected[:12]} (from {CHECKSUMS}), got {actual[:12]}; "
            f"{_remedy(folder)}"
        )
    return content


def write_checksums(folder: Path, names: list[str]) -> None:
    """Write the list for the current files; used by the scripts that build them."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)]
    (folder / CHECKSUMS).write_text("".join(lines))


def _content(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{folder / name} is missing; {_remedy(folder)}") from error


def _remedy(folder: Path) -> str:
    return f"restore it with `git checkout -- orchestrator/datasets/{folder.name}`"
