"""A folder on a disk: this machine's, or one that is shared over a network and behaves like it."""

import fcntl
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import BinaryIO, ClassVar

from orchestrator.storage.held import HeldError


class LocalPlace(PosixPath):
    """A path whose files are replaced whole and are on disk when a call returns; the words are those of `Place`."""

    append_limit: ClassVar[int | None] = None

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Replaces the file: written beside it, flushed, renamed."""
        if parents:
            self.parent.mkdir(parents=True, exist_ok=True)
        partial = self.with_name(f"{self.name}.tmp-{os.getpid()}")
        try:
            with partial.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self)
        finally:
            partial.unlink(missing_ok=True)
        _sync_directory(self.parent)

    def append(self, text: str) -> None:
        """Adds lines at the end."""
        if not self.exists():
            self.write(text)
            return
        with self.open("r+b") as file:
            _cut_torn_line(file)
            file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def modified(self) -> int:
        """The file's time."""
        return self.stat().st_mtime_ns

    def version(self) -> str:
        """Inode and time: a file put aside keeps both, so its namesake has others."""
        status = self.stat()
        return f"{status.st_ino}-{status.st_mtime_ns}"

    def size(self) -> int:
        """Bytes of the file, or below the folder."""
        files = self.rglob("*") if self.is_dir() else [self]
        return sum(_size(file) for file in files)

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """The file itself."""
        yield self

    def scratch(self) -> Path:
        """The folder itself."""
        return self

    def display(self) -> str:
        """Relative, unless it lies elsewhere."""
        relative = os.path.relpath(self)
        return str(self) if relative.startswith("..") else relative

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the file `lock`; the kernel lets go when the process dies, on NFS the server, however it dies."""
        self.mkdir(parents=True, exist_ok=True)
        with (self / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise HeldError(f"process {file.read().strip()}") from None
            file.truncate(0)
            file.write(f"{os.getpid()} on {platform.node()}\n")
            file.flush()
            yield

    def is_held(self) -> bool:
        """Whether a process has the file `lock` locked."""
        lock = self / "lock"
        if not lock.exists():
            return False
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def check(self) -> None:
        """Makes a file without a name in the nearest folder that exists."""
        place = self
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(f"{place} is a file; name another folder")
        try:
            # Tried, not asked: permissions say nothing of read-only mounts and quotas, and root has them all.
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise OSError(f"{place} must be writable ({error.strerror}); name another folder") from error


def _sync_directory(path: Path) -> None:
    """Returns when what was made, renamed or deleted in a directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_torn_line(file: BinaryIO) -> None:
    """Leaves what ends with a line's end; only a file that does not is read as a whole."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    if file.read(1) not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _size(file: Path) -> int:
    try:
        return 0 if file.is_dir() else file.stat().st_size
    except FileNotFoundError:  # a checkpoint, deleted since it was listed
        return 0
