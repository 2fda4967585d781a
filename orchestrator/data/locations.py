"""Paths of data sets on a user's machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from orchestrator.storage.object_store import SCHEME, ObjectPlace

CACHE = "~/.cache/augsweep"  # default folder for downloads and decoded images


def _from_here(place: str) -> str:
    # Resolved when the file is read, because trials run in other working directories.
    return place if place.startswith(("~", SCHEME)) else os.path.abspath(place)


# A path as YAML text: `~` is the home of the process that reads it, and a relative path is resolved at once. Some data
# sets also accept an address in an object store.
Place = Annotated[str, AfterValidator(_from_here)]


def expanded(place: str) -> Path:
    """A place as an absolute path."""
    return Path(place).expanduser()


def located(place: str) -> Path | ObjectPlace:
    """A place as an absolute path, or in an object store.

    Raises:
        UserError: if the address is malformed.
    """
    return ObjectPlace.parse(place) if place.startswith(SCHEME) else expanded(place)
