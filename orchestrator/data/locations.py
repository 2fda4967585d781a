"""Where data sets lie on a user's machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from orchestrator.storage.object_store import SCHEME, ObjectPlace

CACHE = "~/.cache/augsweep"  # of data sets that need a place of their own


def _from_here(place: str) -> str:
    # A trial runs, and is evaluated, in other folders than the one where its file was read.
    return place if place.startswith(("~", SCHEME)) else os.path.abspath(place)


# A path as text, because YAML has no other kind; `~` is the home of whoever reads it, a relative one begins here. Some
# data sets take an address in an object store too.
Place = Annotated[str, AfterValidator(_from_here)]


def expanded(place: str) -> Path:
    """A place as an absolute path."""
    return Path(place).expanduser()


def located(place: str) -> Path | ObjectPlace:
    """A place as an absolute path, or in an object store.

    Raises:
        UserError: if its address is none.
    """
    return ObjectPlace.at(place) if place.startswith(SCHEME) else expanded(place)
