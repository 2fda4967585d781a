"""Folders on a disk, local or shared by a network file system."""

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
    """A path that implements `Place`: files are replaced atomically and are on disk when a call returns."""

    append_limit: ClassVar[int | None] = None

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Replace the file: write a temporary file next to it, flush it, rename it."""
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
        """Append lines."""
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
        """Modification time of the file, in nanoseconds since 1970."""
        return self.stat().st_mtime_ns

    def version(self) -> str:
        """Inode and modification time: a file that was moved away keeps both, so its successor differs."""
        status = self.stat()
        return f"{status.st_ino}-{status.st_mtime_ns}"

    def size(self) -> int:
        """Size of the file, or of all files below the folder, in bytes."""
        files = self.rglob("*") if self.is_dir() else [self]
        return sum(_size(file) for file in files)

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Yield the file itself."""
        yield self

    def scratch(self) -> Path:
        """This folder."""
        return self

    def display(self) -> str:
        """The path relative to the working folder, or absolute if it is outside."""
        relative = os.path.relpath(self)
        return str(self) if relative.startswith("..") else relative

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the file `lock`; the kernel, or the server on NFS, releases it however the process dies."""
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
        """Whether a process has locked the file `lock`."""
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
        """Create an unnamed temporary file in the nearest existing parent folder."""
        place = self
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(f"{place} is a file; name another folder")
        try:
            # Permissions do not show read-only mounts and quotas, and root passes every check, so try to write.
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise OSError(f"{place} must be writable ({error.strerror}); name another folder") from error


def _sync_directory(path: Path) -> None:
    """Flush created, renamed and deleted entries of a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_torn_line(file: BinaryIO) -> None:
    """Remove an incomplete last line; the whole file is read only if it has one."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    if file.read(1) not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _size(file: Path) -> int:
    try:
        return 0 if file.is_dir() else file.stat().st_size
    except FileNotFoundError:  # a checkpoint that was deleted after it was listed
        return 0
