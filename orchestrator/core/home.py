"""A home folder for processes that have none, as in `docker run --user` with an id that no account has."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def home_provided() -> Iterator[None]:
    """Give this process and its children a home folder while the block runs; entered first by each command.

    Without HOME and without an entry in the user database, `~` has no meaning: Ray and caches raise RuntimeError. In
    that case HOME becomes a private temporary folder, which is removed at the end, and one line on stderr says so. A
    home that exists is kept even if it is read-only, because it may hold data sets and weights.
    """
    if os.path.expanduser("~") != "~":
        yield
        return
    folder, owner = tempfile.mkdtemp(prefix="augsweep-"), os.getpid()
    os.environ["HOME"] = folder
    sys.stderr.write(
        f"note: HOME is not set and user {os.getuid()} has no account; ~ is {folder} and is removed at the end, so set "
        "HOME to a folder of yours to keep downloads and decoded images\n"
    )
    try:
        yield
    finally:
        if os.getpid() == owner:  # forks leave the block too
            del os.environ["HOME"]
            shutil.rmtree(folder, ignore_errors=True)
