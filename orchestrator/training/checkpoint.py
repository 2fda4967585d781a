"""Checkpoints that survive a kill at any instruction: each is complete or does not exist; the last two are kept."""

import io
import logging
import os
import pickle
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch

from orchestrator.storage.path import parse
from orchestrator.storage.place import Place
from orchestrator.storage.s3 import UnavailableError

# The one in use and the one to fall back on if the disk lied about the newest.
KEPT = 2
# What the zip reader, the unpickler and torch raise on bytes that are not what was written.
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, LookupError, ValueError)
_NAME = re.compile(r"checkpoint-(\d+)\.pt")

logger = logging.getLogger(__name__)


def write(folder: Place | Path, state: dict) -> Place:
    """Store a state as the folder's newest checkpoint.

    Args:
        folder: on a disk it must exist: a worker that outlives its driver must not recreate a folder that was archived.
        state: tensors, numbers, strings, lists and dicts; `step` (int) names the file.

    Returns:
        The file. A crash before the return leaves the older checkpoints as they were.

    Raises:
        OSError: if the disk is full or refuses.
    """
    folder = parse(folder)
    file = folder / f"checkpoint-{state['step']:08d}.pt"
    content = io.BytesIO()
    torch.save(state, content)  # not into the file: torch hides the system's error behind one of its own
    file.write(content.getbuffer(), parents=False)
    there = list(folder.glob("checkpoint-*"))
    for old in _newest_first(there)[KEPT:]:
        old.unlink(missing_ok=True)
    for leftover in there:
        writer = leftover.name.rpartition(".tmp-")[2]
        if writer.isdecimal() and not _lives(int(writer)):  # it was killed
            leftover.unlink(missing_ok=True)
    return file


def read_latest(folder: Place | Path) -> dict | None:
    """The newest state that can be read, or None where there is none.

    A damaged file is skipped with a warning: resuming from the one before only repeats some steps.
    """
    for file in _newest_first(parse(folder).glob("checkpoint-*.pt")):
        try:
            return _read(file)
        except UnavailableError:  # all of them are out of reach, and none is damaged
            raise
        except _UNREADABLE as error:
            logger.warning("checkpoint %s cannot be read (%s); trying the one before", file, type(error).__name__)
    return None


def _read(file: Place) -> dict:
    content = io.BytesIO(file.read_bytes())
    # torch writes a CRC for every tensor but does not check it: a flipped bit would go into the weights unseen.
    with zipfile.ZipFile(content) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    content.seek(0)
    return torch.load(content, map_location="cpu", weights_only=True)


def _newest_first(files: Iterable[Place]) -> list[Place]:
    return sorted((file for file in files if _NAME.fullmatch(file.name)), key=lambda file: file.name, reverse=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True
