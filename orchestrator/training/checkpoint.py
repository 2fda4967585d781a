"""Checkpoints that survive a kill at any instruction: written beside, flushed, renamed; the last two are kept."""

import io
import logging
import os
import pickle
import re
import zipfile
from pathlib import Path

import torch

from orchestrator.folder import sync_directory

# The one in use and the one to fall back on if the disk lied about the newest.
KEPT = 2
# What the zip reader, the unpickler and torch raise on bytes that are not what was written.
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, LookupError, ValueError)
_NAME = re.compile(r"checkpoint-(\d+)\.pt")

logger = logging.getLogger(__name__)


def write(folder: Path, state: dict) -> Path:
    """Store a state as the folder's newest checkpoint.

    Args:
        folder: must exist; a worker that outlives its driver shall not bring back a folder that was put aside.
        state: tensors, numbers, strings, lists and dicts; `step` (int) names the file.

    Returns:
        The file's path. A crash before the return leaves the older checkpoints as they were.

    Raises:
        OSError: if the disk is full or refuses.
    """
    path = folder / f"checkpoint-{state['step']:08d}.pt"
    partial = path.with_suffix(f".tmp-{os.getpid()}")
    content = io.BytesIO()
    torch.save(state, content)  # not into the file: torch hides the system's error behind one of its own
    try:
        with partial.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(folder)
    for old in _stored(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    for leftover in folder.glob("checkpoint-*.tmp-*"):
        if not _lives(int(leftover.suffix.removeprefix(".tmp-"))):  # its writer was killed
            leftover.unlink(missing_ok=True)
    return path


def read_latest(folder: Path) -> dict | None:
    """The newest state that can be read, or None where there is none.

    A torn or corrupt file is passed over with a warning: to go on from the one before it only costs some steps again.
    """
    for path in _stored(folder):
        try:
            return _read(path)
        except _UNREADABLE as error:
            logger.warning("checkpoint %s cannot be read (%s); trying the one before", path, type(error).__name__)
    return None


def _read(path: Path) -> dict:
    # torch writes a CRC for every tensor but does not check it: a flipped bit would go into the weights unseen.
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _stored(folder: Path) -> list[Path]:
    """The folder's checkpoints, newest first."""
    named = [path for path in folder.glob("checkpoint-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(named, reverse=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True
