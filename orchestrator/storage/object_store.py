"""A prefix in an S3-compatible object store, through pyarrow.

Credentials come from AWS's environment variables and files; so does the endpoint (`AWS_ENDPOINT_URL`), unless the
address contains one: `s3://bucket/prefix?endpoint_override=127.0.0.1:9000&scheme=http`.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl

from orchestrator.core.errors import UserError
from orchestrator.core.registry import suggest
from orchestrator.storage import lease
from orchestrator.storage.s3 import SETTINGS, UnavailableError, explained, store

if TYPE_CHECKING:  # slow to import, and not needed for sweeps on a disk
    from pyarrow import fs

SCHEME = "s3://"


@dataclass(frozen=True)
class ObjectPlace:
    """An object or a prefix that implements `Place`.

    Stores replace objects atomically, so an object is never partially written. Appending rewrites the object.

    Args:
        path: bucket and key.
        query: the store's settings, as in the address.
        patient: retry a request for some seconds before it fails.
    """

    path: PurePosixPath
    query: str = ""
    patient: bool = True

    append_limit: ClassVar[int | None] = 128 * 1024

    @classmethod
    def parse(cls, text: str) -> "ObjectPlace":
        """Parse an address.

        Raises:
            UserError: if the address is invalid.
        """
        path, _, query = text.removeprefix(SCHEME).partition("?")
        bucket = path.partition("/")[0]
        if "@" in bucket:
            raise UserError(
                "s3://...@: an address must hold no key; put it into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise UserError(f"{text}: s3://BUCKET/PREFIX must be given, got the bucket {bucket or 'of no name'}")
        for key, _ in parse_qsl(query, keep_blank_values=True):
            if key not in SETTINGS:
                raise UserError(f"{text}: unknown setting {key}{suggest(key, list(SETTINGS))}")
        return cls(PurePosixPath(path), query)

    def __str__(self) -> str:
        return f"{SCHEME}{self.path}" + (f"?{self.query}" if self.query else "")

    def __truediv__(self, key: str) -> "ObjectPlace":
        return replace(self, path=self.path / key)

    @property
    def name(self) -> str:
        """The last component of the key."""
        return self.path.name

    @property
    def parent(self) -> "ObjectPlace":
        """The prefix without its last component."""
        return replace(self, path=self.path.parent)

    def with_name(self, name: str) -> "ObjectPlace":
        """The key with its last component replaced."""
        return replace(self, path=self.path.with_name(name))

    def exists(self) -> bool:
        """Whether the object exists."""
        return self._info().is_file

    def glob(self, pattern: str) -> "Iterator[ObjectPlace]":
        """Yield the objects whose keys below the prefix match the pattern; `*` does not match a slash."""
        first, slash, rest = pattern.partition("/")
        if slash and not re.search(r"[*?\[]", first):
            yield from (self / first).glob(rest)
            return
        for file in self._files(recursive=bool(slash)):
            below = file.path.relative_to(self.path)
            if len(below.parts) == pattern.count("/") + 1 and below.match(pattern):
                yield file

    def read_bytes(self) -> bytes:
        """Read the object."""
        with self._explained(), self._store.open_input_stream(str(self.path)) as stream:
            try:
                return stream.read()
            except OSError as error:
                if self.exists():
                    raise
                # The object was deleted after it was opened, for which pyarrow raises a plain OSError.
                raise FileNotFoundError from error

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read the object as text."""
        return self.read_bytes().decode(encoding)

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Put the object; `parents` is ignored, since object stores have no folders."""
        with self._explained(), self._store.open_output_stream(str(self.path)) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)

    def append(self, text: str) -> None:
        """Rewrite the object with lines appended."""
        try:
            before = self.read_bytes()
        except FileNotFoundError:
            before = b""
        self.write(before[: before.rfind(b"\n") + 1] + text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        try:
            with self._explained():
                self._store.delete_file(str(self.path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, target: "ObjectPlace") -> "ObjectPlace":
        """Copy all objects, then delete the originals, deepest first, so that an interrupted call can be repeated."""
        files = sorted(self._files(recursive=True), key=lambda file: (-len(file.path.parts), file.path))
        for file in files:
            copy = target.path / file.path.relative_to(self.path)
            with self._explained():
                self._store.copy_file(str(file.path), str(copy))
        for file in files:
            file.unlink(missing_ok=True)
        return target

    def modified(self) -> int:
        """Time of the last put by the store's clock, in nanoseconds with a resolution of seconds."""
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(f"{self} does not exist")
        return info.mtime_ns

    def version(self) -> str:
        """Time of the last put."""
        return str(self.modified())

    def size(self) -> int:
        """Size of the object, or of all objects below the prefix, in bytes."""
        info = self._info()
        return info.size if info.is_file else sum(found.size for found in self._listed(recursive=True))

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Yield a temporary local copy."""
        with tempfile.TemporaryDirectory(prefix="augsweep-") as folder:
            copy = Path(folder) / self.name
            copy.write_bytes(self.read_bytes())
            yield copy

    def scratch(self) -> Path:
        """A folder in the user's cache, named after the address."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        mark = hashlib.sha256(str(self).encode()).hexdigest()[:8]
        folder = home / "augsweep" / "storage" / f"{self.name}-{mark}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def display(self) -> str:
        """The address."""
        return str(self)

    def lock(self) -> AbstractContextManager[None]:
        """Lock the prefix with a lease stored next to it, so that the prefix can be renamed while locked."""
        return lease.held(self._claims)

    def is_held(self) -> bool:
        """Whether a process holds a lease on the prefix."""
        return lease.is_held(self._claims)

    def check(self) -> None:
        """Put, read, list and delete a test object, without retries."""
        tried = replace(self, patient=False) / f"try-{os.urandom(8).hex()}"
        try:
            tried.exists()  # first, since a read times out sooner than a write if the store does not answer
            tried.write(b"1")
            tried.read_bytes()
            list(tried.parent.glob(tried.name))
            tried.unlink()
        except UnavailableError as error:
            raise UnavailableError(str(error).removeprefix(f"{tried}: ").removeprefix(f"{tried.parent}: ")) from error

    @property
    def _store(self) -> "fs.FileSystem":
        with self._explained():
            return store(self.path.parts[0], self.query, patient=self.patient)

    @property
    def _claims(self) -> "ObjectPlace":
        return self.with_name(f"{self.name}.lock")

    def _info(self) -> "fs.FileInfo":
        with self._explained():
            return self._store.get_file_info(str(self.path))

    def _files(self, *, recursive: bool) -> "list[ObjectPlace]":
        return [replace(self, path=PurePosixPath(info.path)) for info in self._listed(recursive=recursive)]

    def _listed(self, *, recursive: bool) -> "list[fs.FileInfo]":
        from pyarrow import fs

        with self._explained():
            found = self._store.get_file_info(
                fs.FileSelector(str(self.path), recursive=recursive, allow_not_found=True)
            )
        return [info for info in found if info.is_file]  # the rest are markers of empty folders

    def _explained(self) -> AbstractContextManager[None]:
        return explained(str(self), self.path.parts[0])
