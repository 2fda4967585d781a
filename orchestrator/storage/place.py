"""The interface of a file or folder, on a disk or in an object store."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

Same = TypeVar("Same", bound="Place")


@runtime_checkable
class Place(Protocol):
    """A file or folder with pathlib's method names where pathlib has them; `str(place)` identifies it on every node.

    Attributes:
        append_limit: file size in bytes above which `append` becomes expensive, or None if its cost does not grow.
    """

    append_limit: ClassVar[int | None]

    @property
    def name(self) -> str:
        """The last component of the path."""
        ...

    @property
    def parent(self) -> "Place":
        """The folder that contains it."""
        ...

    def __truediv__(self, key: str) -> "Place": ...

    def with_name(self, name: str) -> "Place":
        """The path with its last component replaced."""
        ...

    def exists(self) -> bool:
        """Whether the file exists."""
        ...

    def glob(self, pattern: str) -> "Iterable[Place]":
        """Yield the files below a folder that match the pattern, in any order; none if the folder does not exist."""
        ...

    def read_bytes(self) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: if the file does not exist.
        """
        ...

    def read_text(self, encoding: str) -> str:
        """Read a file as text; raises as `read_bytes` does."""
        ...

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Replace a file atomically: after a crash or power loss it holds either the old or the new content in full.

        Args:
            content: text in UTF-8, or bytes.
            parents: create missing parent folders, where the storage has folders.
        """
        ...

    def append(self, text: str) -> None:
        """Append whole lines to a file and return once they are durable; an incomplete last line is removed first.

        Only one process may write to a file at a time.
        """
        ...

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete a file."""
        ...

    def rename(self: Same, target: Same) -> Same:
        """Move a folder with everything in it."""
        ...

    def modified(self) -> int:
        """Time of the last write to a file, in nanoseconds since 1970."""
        ...

    def version(self) -> str:
        """A string that no earlier or later file at this path has.

        Raises:
            FileNotFoundError: if the file does not exist.
        """
        ...

    def size(self) -> int:
        """Size in bytes of a file, or of all files below a folder."""
        ...

    def on_disk(self) -> AbstractContextManager[Path]:
        """Yield a local path, for libraries that need one: the file, or a copy of its name, deleted after the block."""
        ...

    def scratch(self) -> Path:
        """A local folder for files that can be recreated: this folder, or one in the user's cache."""
        ...

    def display(self) -> str:
        """The path as a user would type it in the working folder."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Lock a folder for this process during the block; the lock is released however the process ends.

        Raises:
            HeldError: another process has locked it.
        """
        ...

    def is_held(self) -> bool:
        """Whether a process has locked the folder."""
        ...

    def check(self) -> None:
        """Test whether files can be written below a folder, which need not exist; leaves no file behind.

        Raises:
            OSError: if they cannot; the message names the cause and a remedy.
        """
        ...
