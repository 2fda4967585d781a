"""Paths of sweeps as users write them: a local or shared folder, or a prefix in an object store."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.storage.local import LocalPlace
from orchestrator.storage.object_store import SCHEME, ObjectPlace
from orchestrator.storage.place import Place


def in_bytes(amount: int) -> str:
    """Format a size in bytes for display."""
    return f"{amount / 1e6:.3g} MB" if amount < 1e9 else f"{amount / 1e9:.3g} GB"


def on_disk(name: str) -> AbstractContextManager[Path]:
    """Yield a local path for a file that a user names; a file in an object store is downloaded to a temporary copy.

    Raises:
        UserError: if the file does not exist in the store or cannot be read from it.
    """
    return _copy(name) if name.startswith(SCHEME) else nullcontext(Path(name))


@contextmanager
def _copy(name: str) -> Iterator[Path]:
    try:
        with parse(name).on_disk() as file:
            yield file
    except OSError as error:
        raise UserError(str(error)) from error


def parse(where: str | Path | Place) -> Place:
    """Parse a path or an object store address into a place.

    Raises:
        UserError: if it is neither.
    """
    if isinstance(where, Path):
        return LocalPlace(where.absolute())
    if not isinstance(where, str):
        return where
    if where.startswith(SCHEME):
        return ObjectPlace.parse(where)
    if "://" in where:
        raise UserError(f"{where}: it must be a folder, or an object store's s3://BUCKET/PREFIX")
    return LocalPlace(where).absolute()
