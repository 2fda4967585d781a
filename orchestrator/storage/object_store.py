"""A prefix in an S3-compatible object store, through pyarrow.

Keys, secrets and tokens come from AWS's own variables and files; so does the endpoint (`AWS_ENDPOINT_URL`), unless the
address has one: `s3://bucket/prefix?endpoint_override=127.0.0.1:9000&scheme=http`.
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

if TYPE_CHECKING:  # its import takes a while, and who has a disk needs none of it
    from pyarrow import fs

SCHEME = "s3://"


@dataclass(frozen=True)
class ObjectPlace:
    """An object, or the prefix of many; the words are those of `Place`.

    An object is replaced atomically, so it is never half written; appending rewrites it.

    Args:
        path: bucket and key.
        query: settings of the store as the address has them.
        patient: try again for some seconds before a request counts as refused.
    """

    path: PurePosixPath
    query: str = ""
    patient: bool = True

    append_limit: ClassVar[int | None] = 128 * 1024

    @classmethod
    def parse(cls, text: str) -> "ObjectPlace":
        """The place of an address.

        Raises:
            UserError: if it is none.
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
        """The key's last part."""
        return self.path.name

    @property
    def parent(self) -> "ObjectPlace":
        """The prefix without its last part."""
        return replace(self, path=self.path.parent)

    def with_name(self, name: str) -> "ObjectPlace":
        """The same prefix with another last part."""
        return replace(self, path=self.path.with_name(name))

    def exists(self) -> bool:
        """Whether there is such an object."""
        return self._info().is_file

    def glob(self, pattern: str) -> "Iterator[ObjectPlace]":
        """Objects by what comes after the prefix; a star stands for no slash."""
        first, slash, rest = pattern.partition("/")
        if slash and not re.search(r"[*?\[]", first):
            yield from (self / first).glob(rest)
            return
        for file in self._files(recursive=bool(slash)):
            below = file.path.relative_to(self.path)
            if len(below.parts) == pattern.count("/") + 1 and below.match(pattern):
                yield file

    def read_bytes(self) -> bytes:
        """The object."""
        with self._explained(), self._store.open_input_stream(str(self.path)) as stream:
            try:
                return stream.read()
            except OSError as error:
                if self.exists():
                    raise
                # Gone since it was opened: no room where it had some for what the store says to that.
                raise FileNotFoundError from error

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object as text."""
        return self.read_bytes().decode(encoding)

    def write(self, content: str | bytes | memoryview, *, parents: bool = True) -> None:
        """Puts the object; there are no folders that would have to be there."""
        with self._explained(), self._store.open_output_stream(str(self.path)) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)

    def append(self, text: str) -> None:
        """Puts the object with more at its end."""
        try:
            before = self.read_bytes()
        except FileNotFoundError:
            before = b""
        self.write(before[: before.rfind(b"\n") + 1] + text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the object."""
        try:
            with self._explained():
                self._store.delete_file(str(self.path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, target: "ObjectPlace") -> "ObjectPlace":
        """Copies everything, then deletes it here: what lies deepest first, so that cut off it can be done again."""
        files = sorted(self._files(recursive=True), key=lambda file: (-len(file.path.parts), file.path))
        for file in files:
            copy = target.path / file.path.relative_to(self.path)
            with self._explained():
                self._store.copy_file(str(file.path), str(copy))
        for file in files:
            file.unlink(missing_ok=True)
        return target

    def modified(self) -> int:
        """When it was put, by the store's clock, in whole seconds."""
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(f"{self} does not exist")
        return info.mtime_ns

    def version(self) -> str:
        """When it was put."""
        return str(self.modified())

    def size(self) -> int:
        """Bytes of the object, or of all that begin with the prefix."""
        info = self._info()
        return info.size if info.is_file else sum(found.size for found in self._listed(recursive=True))

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """A copy."""
        with tempfile.TemporaryDirectory(prefix="augsweep-") as folder:
            copy = Path(folder) / self.name
            copy.write_bytes(self.read_bytes())
            yield copy

    def scratch(self) -> Path:
        """In the user's cache, by the place's own text."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        mark = hashlib.sha256(str(self).encode()).hexdigest()[:8]
        folder = home / "augsweep" / "storage" / f"{self.name}-{mark}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def display(self) -> str:
        """The whole address."""
        return str(self)

    def lock(self) -> AbstractContextManager[None]:
        """Holds the prefix by a lease, which lies beside it: so it can be renamed meanwhile."""
        return lease.held(self._claims)

    def is_held(self) -> bool:
        """Whether somebody's lease of it runs."""
        return lease.is_held(self._claims)

    def check(self) -> None:
        """Puts an object, reads and lists it, and deletes it, without much patience."""
        tried = replace(self, patient=False) / f"try-{os.urandom(8).hex()}"
        try:
            tried.exists()  # first, since from a silent store a question comes back sooner than a gift
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
        return [info for info in found if info.is_file]  # the others are marks of emptied folders

    def _explained(self) -> AbstractContextManager[None]:
        return explained(str(self), self.path.parts[0])
