"""The files below a folder: every one once, whatever links, pipes and system files lie between them."""

import os
import stat
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from orchestrator.core.errors import UserError, first_line, printable
from orchestrator.data.decoding import formats

LITTER = "hidden or made by the system"
# Folders that file managers, storage boxes and notebooks make; their images are copies.
_LITTER_FOLDERS = (
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "__macosx",
    "lost+found",
    "__pycache__",
)
_LITTER_FILES = ("thumbs.db", "desktop.ini", "ehthumbs.db")
_KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFBLK: "device", stat.S_IFCHR: "device"}
_SHOWN = 3  # names in a message
# Endings of files that are not opened to see whether they are images: a data set may have a million annotations.
_TEXT_AND_DATA = "txt json jsonl xml csv tsv md html htm yaml yml toml ini cfg log py ipynb sh rst tex doc docx xls"
_ARRAYS = "npy npz mat pkl pickle pt pth onnx safetensors h5 hdf5 hdf parquet parq pq arrow feather db sqlite lmdb"
_OTHERS = "zip tar gz tgz bz2 xz zst 7z rar mp4 avi mov mkv webm mpg mpeg mp3 wav flac ogg pdf ps eps svg wmf emf xlsx"
_NOT_IMAGES = frozenset(f"{_TEXT_AND_DATA} {_ARRAYS} {_OTHERS}".split())


@dataclass
class Tree:
    """What lies below a folder.

    Args:
        root: the folder.
        files: names below the root with `/` between their parts, a folder's own files before its sub-folders, each in
            sorted order.
        folders: names of all folders below the root.
        ignored: what is not among the files, counted by kind, with one example of each kind.
    """

    root: Path
    files: list[str]
    folders: list[str]
    ignored: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def ignore(self, kind: str, name: str) -> None:
        """Count something that is not used."""
        self.ignored[kind] += 1
        self.examples.setdefault(kind, name)


def walk(root: Path) -> Tree:
    """Lists a folder and all below it; links to folders are followed unless they lead to one that is listed anyway.

    Raises:
        UserError: if a folder cannot be read.
    """
    walker = _Walker(root)
    walker.descend("")
    while walker.links:  # after all real folders, so that a link never takes the place of its target
        name = min(walker.links)
        walker.links.remove(name)
        walker.follow(name)
    found = {tuple(name.split("/")) if name else (): files for name, files in walker.files.items()}
    tree = walker.tree
    for parts in sorted(found):
        inside = "".join(f"{part}/" for part in parts)
        tree.files += [inside + name for name in sorted(found[parts])]
        tree.folders += ["/".join(parts)] if parts else []
    return tree


class _Walker:
    def __init__(self, root: Path) -> None:
        self.tree = Tree(root, [], [])
        self.files: dict[str, list[str]] = {}
        self.links: list[str] = []
        self._seen: set[tuple[int, int]] = set()
        self._above = {_identity(os.stat(place)) for place in Path(os.path.realpath(root)).parents}

    def descend(self, top: str) -> None:
        """List a folder and the real folders below it."""
        waiting = [top]
        while waiting:
            name = waiting.pop()
            place = os.path.join(self.tree.root, name)
            try:
                identity = _identity(os.stat(place))
                if identity in self._seen:  # as of a folder in the target of one link and behind another
                    self.tree.ignore("folder that is read anyway", name)
                    continue
                self._seen.add(identity)
                with os.scandir(place) as entries:
                    listed = list(entries)
            except OSError as error:
                raise UserError(f"{printable(place)} cannot be read: {error.strerror or first_line(error)}") from error
            self.files[name] = []
            for entry in listed:
                waiting += self._entry(entry, f"{name}/{entry.name}" if name else entry.name, name)

    def follow(self, name: str) -> None:
        """List the folder behind a link, unless it is listed anyway or holds the root."""
        try:
            target = _identity(os.stat(os.path.join(self.tree.root, name)))
        except OSError:
            self.tree.ignore("broken link", name)
            return
        if target in self._seen:
            self.tree.ignore("link to a folder that is read anyway", name)
        elif target in self._above:
            self.tree.ignore("link to a folder above", name)
        else:
            self.descend(name)

    def _entry(self, entry: os.DirEntry[str], name: str, folder: str) -> list[str]:
        """Note an entry; returns it if it is a folder to be listed next."""
        try:
            is_folder = entry.is_dir()
            kind = None if is_folder or entry.is_file() else _kind(entry)
        except OSError:  # as of a link to itself
            self.tree.ignore("broken link", name)
            return []
        if is_litter(entry.name):
            self.tree.ignore(LITTER, name)
        elif is_folder and entry.is_symlink():
            self.links.append(name)
        elif is_folder:
            return [name]
        elif kind is not None:
            self.tree.ignore(kind, name)
        else:
            self.files[folder].append(entry.name)
        return []


def _kind(entry: os.DirEntry[str]) -> str | None:
    """What an entry is that is neither a folder nor a regular file; a broken link is taken for a file."""
    try:
        return _KINDS.get(stat.S_IFMT(entry.stat().st_mode))
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by a file manager or a storage box."""
    return name.startswith(".") or name.lower() in (*_LITTER_FOLDERS, *_LITTER_FILES)


def is_image(root: Path, name: str) -> bool:
    """Whether a file is an image: by its ending, or by its content where the ending says nothing.

    Args:
        root: that the name begins at.
        name: of the file.
    """
    ending = os.path.splitext(name)[1].lower()
    if ending in image_endings():
        return True
    if ending[1:] in _NOT_IMAGES:
        return False
    try:
        with open(os.path.join(root, name), "rb") as file:
            return _has_magic(file.read(16))
    except OSError:
        return False


@cache
def image_endings() -> frozenset[str]:
    """The endings of image files that can be decoded, in lower case, such as `.jpg`."""
    from PIL import Image

    known = formats()
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in known)


def _has_magic(head: bytes) -> bool:
    """Whether a file begins as one of the common image formats does."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
        or head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"8BPS", b"qoif"))
        or head[4:12] in (b"ftypavif", b"ftypavis")
    )


def kind_of(name: str) -> str:
    """What a message calls a file that is not used: `.txt file`, or `file without an ending`."""
    ending = os.path.splitext(name)[1].lower()
    return f"{printable(ending)} file" if ending else "file without an ending"


def ignored_text(tree: Tree) -> str:
    """All that is ignored, by kind and number, or "" if nothing is."""
    kinds = [
        f"{count} {_plural(kind, count)} ({printable(tree.examples[kind])}{', ...' if count > 1 else ''})"
        for kind, count in sorted(tree.ignored.items(), key=lambda item: (-item[1], item[0]))
    ]
    return "ignored: " + ", ".join(kinds) if kinds else ""


def _plural(kind: str, count: int) -> str:
    if count == 1 or kind == LITTER:
        return kind
    first, *rest = kind.split(" ", 1)
    if first.startswith(".") or first == "named" or first == "broken":
        return f"{kind}s"
    return " ".join([f"{first}s", *rest])


def examples(names: Collection[str]) -> str:
    """The first few of some names."""
    shown = ", ".join(map(printable, list(names)[:_SHOWN]))
    return shown + (", ..." if len(names) > _SHOWN else "")
