"""Where data sets lie on a user's machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

CACHE = "~/.cache/augsweep"  # of data sets that need a place of their own


def _from_here(place: str) -> str:
    # A trial runs, and is evaluated, in other folders than the one where its file was read.
    return place if place.startswith("~") else os.path.abspath(place)


# A path as text, because YAML has no other kind; `~` is the home of whoever reads it, a relative one begins here.
Place = Annotated[str, AfterValidator(_from_here)]


def expanded(place: str) -> Path:
    """A place as an absolute path."""
    return Path(place).expanduser()
