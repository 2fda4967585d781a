"""Where sweeps lie: a folder on a disk, on this machine or shared, or a prefix in an object store."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from orchestrator.core.errors import UserError
from orchestrator.storage.local import LocalPlace
from orchestrator.storage.object_store import SCHEME, ObjectPlace

Same = TypeVar("Same", bound="Place")


@runtime_checkable
class Place(Protocol):
    """A file or a folder, in pathlib's words as far as it has them; its text names it on every node.

    Attributes:
        append_limit: bytes beyond which a file had better not grow by `append`, or None where that costs nothing.
    """

    append_limit: ClassVar[int | None]

    @property
    def name(self) -> str:
        """Its last part."""
        ...

    @property
    def parent(self) -> "Place":
        """The folder that it lies in."""
        ...

    def __truediv__(self, key: str) -> "Place": ...

    def with_name(self, name: str) -> "Place":
        """Its neighbour of another name."""
        ...

    def exists(self) -> bool:
        """Whether there is a file."""
        ...

    def glob(self, pattern: str) -> "Iterable[Place]":
        """The files below a folder whose names are like the pattern, in any order; none where there is no folder."""
        ...

    def read_bytes(self) -> bytes:
        """What a file holds.

        Raises:
            FileNotFoundError: if there is none.
        """
        ...

    def read_text(self, encoding: str) -> str:
        """The same as text."""
        ...

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Replaces a file whole: after a crash or a power cut it holds the old content or the new, never a part.

        Args:
            content: text in UTF-8, or bytes.
            parents: make the folders that it lies in, where that means something.
        """
        ...

    def append(self, text: str) -> None:
        """Adds whole lines to a file and returns when they are safe; a line torn by a crash is cut off first.

        One process writes a file at a time.
        """
        ...

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes a file."""
        ...

    def rename(self: Same, target: Same) -> Same:
        """Moves a folder with all that is in it."""
        ...

    def modified(self) -> int:
        """When a file was last written, in nanoseconds since 1970."""
        ...

    def version(self) -> str:
        """What no other file has had that ever lay here.

        Raises:
            FileNotFoundError: if there is none.
        """
        ...

    def size(self) -> int:
        """Bytes of a file, or of all files below a folder."""
        ...

    def on_disk(self) -> AbstractContextManager[Path]:
        """The file, or a copy of its name, for those who can read nothing else; gone after the block if a copy."""
        ...

    def scratch(self) -> Path:
        """A local folder for files that can be recreated: this one, or one in the user's cache."""
        ...

    def display(self) -> str:
        """Its text as a user in this working folder would type it."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Has a folder for this process alone while the block runs; it is free again however the process ends.

        Raises:
            HeldError: another process has it.
        """
        ...

    def is_held(self) -> bool:
        """Whether a process holds the folder now."""
        ...

    def check(self) -> None:
        """Tries to write below a folder that need not exist, and leaves no file there.

        Raises:
            OSError: naming in its text what stands in the way, and what to do.
        """
        ...


def in_bytes(amount: int) -> str:
    """An amount of bytes for people."""
    return f"{amount / 1e6:.3g} MB" if amount < 1e9 else f"{amount / 1e9:.3g} GB"


def on_disk(name: str) -> AbstractContextManager[Path]:
    """A file that a user names, or a copy of it where it lies in an object store.

    Raises:
        UserError: if the store has no such file, or does not give it.
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
    """The place that a text names: a folder's path or an address in an object store.

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
