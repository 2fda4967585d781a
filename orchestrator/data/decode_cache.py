"""A user's own images, decoded once: bytes on disk that every later start maps into memory.

A cache is a folder named after the state of the files it was made from, so a file that was added, removed or changed
makes another one. It appears whole or not at all.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.core.errors import UserError
from orchestrator.data.decoding import Square, Unreadable, square
from orchestrator.data.images import ImageSet, fingerprint

FORMAT = "decoded/2"  # raise it when code changes a pixel, or a file here
_IMAGES, _MASKS, _LABELS, _INDEX = "images.u8", "masks.u8", "labels.npy", "index.json"
_BLOCK = 256  # images decoded before they are written, which bounds the memory
_SMALLEST_STD = 1 / 255  # images all of one colour are centred, not blown up

Content = Path | bytes | None


@dataclass(frozen=True)
class Sample:
    """An image that is to be decoded.

    Args:
        name: by which the user knows it.
        image: its file, or the bytes of one.
        mask: of the foreground, likewise, or None.
        label: class from 0, or -1 where there are none.
        border: pixels on each side that are no part of the image.
        centre: of its shorter side the share that is shown, in (0, 1].
    """

    name: str
    image: Content
    mask: Content
    label: int
    border: int = 0
    centre: float = 1.0


@dataclass(frozen=True)
class Listing:
    """What a user's folder holds, known without decoding anything.

    Args:
        source: what it lists, for messages; decoded anew, it takes the place of what was decoded of it before.
        parts: images of each part, such as `train`, in the order of the samples.
        num_classes: labels run from 0 to this, or None without labels.
        masked: whether there are masks.
        state: plain values that change whenever a file does.
        samples: all images, part after part.
    """

    source: str
    parts: Mapping[str, int]
    num_classes: int | None
    masked: bool
    state: Any
    samples: Callable[[], Iterator[Sample]]


@dataclass(frozen=True)
class Decoded:
    """A cache, open.

    Args:
        folder: where it lies.
        size: side of the images in pixels.
        parts: decoded images by part, in the order in which they lie in the file.
        num_classes: of the labels, or None.
        masked: whether there are masks.
        mean: of the images of `train` per channel, in [0, 1]; 0 where there are none.
        std: of the same.
        content: hash of the files behind the images; where it is equal, so are the pixels.
        left_out: images that could not be decoded, each with the reason.
        without_mask: images without a usable mask where others have one, each with the reason.
        missing: places of those left out among all that were listed.
    """

    folder: Path
    size: int
    parts: Mapping[str, int]
    num_classes: int | None
    masked: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    content: str
    left_out: tuple[str, ...]
    without_mask: tuple[str, ...]
    missing: tuple[int, ...] = ()

    def part(self, name: str) -> ImageSet:
        """The images of a part, mapped from disk and not to be written to."""
        names = list(self.parts)
        start = sum(self.parts[other] for other in names[: names.index(name)])
        rows = slice(start, start + self.parts[name])
        labels = None if self.num_classes is None else np.load(self.folder / _LABELS)[rows]
        return ImageSet(
            self._mapped(_IMAGES, 3)[rows],
            labels,
            self._mapped(_MASKS, 1)[rows].squeeze(-1) if self.masked else None,
        )

    def _mapped(self, file: str, channels: int) -> np.ndarray:
        shape = (sum(self.parts.values()), self.size, self.size, channels)
        # As a plain array, which Ray ships without a copy on the way.
        return np.memmap(self.folder / file, np.uint8, mode="r", shape=shape).view(np.ndarray)


def decoded(listing: Listing, *, cache: Path, size: int) -> Decoded:
    """The images of a listing: from the cache, or decoded into it by a thread per core.

    Args:
        listing: what to decode.
        cache: folder of caches; older ones of the same source and size are removed.
        size: side of the images in pixels.

    Raises:
        UserError: if the cache cannot be written, or a file cannot be read for a reason that may pass.
    """
    place = fingerprint(listing.source, size)
    folder = cache / "decoded" / f"{place}-{fingerprint(FORMAT, listing.state)}"
    try:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{place}.lock")):
                if not folder.exists():
                    _build(listing, folder, place=place, size=size)
        return _read(folder)
    except OSError as error:
        raise UserError(
            f"the images of {listing.source} cannot be decoded into {folder.parent}: {error}; mend it, or name another "
            "folder in run.dataset.cache"
        ) from error


def _build(listing: Listing, folder: Path, *, place: str, size: int) -> None:
    for old in folder.parent.glob(f"{place}-*"):  # of another state, or torn: nobody will ask for it again
        shutil.rmtree(old)
    count = sum(listing.parts.values())
    need, free = count * size * size * (3 + listing.masked), shutil.disk_usage(folder.parent).free
    if need > free:
        raise OSError(f"it takes {need / 1e9:.2g} GB, and {free / 1e9:.2g} GB are free")
    sys.stderr.write(f"decoding {count} images of {listing.source} into {folder.parent}, once\n")
    half_done = folder.with_name(f"{folder.name}.tmp")
    half_done.mkdir()
    try:
        _write(listing, half_done, size)
        half_done.rename(folder)
    finally:  # a full disk needs the room
        shutil.rmtree(half_done, ignore_errors=True)


def _write(listing: Listing, folder: Path, size: int) -> None:
    parts = dict.fromkeys(listing.parts, 0)
    labels: list[int] = []
    left_out: list[str] = []
    without_mask: list[str] = []
    missing: list[int] = []
    digest = hashlib.sha256()
    moments = np.zeros((2, 3), np.int64)  # sums of the values and of their squares, exact in any order
    with open(folder / _IMAGES, "wb") as images, open(folder / _MASKS, "wb") as masks:
        for place, (part, sample, done) in enumerate(_squares(listing, size)):
            if isinstance(done, str):
                left_out.append(f"{sample.name} ({done})")
                missing.append(place)
                continue
            made, sums, digests = done
            images.write(made.image.tobytes())
            if listing.masked:
                masks.write(made.mask.tobytes())
                without_mask += [f"{sample.name} ({made.unmasked})"] if made.unmasked else []
            if part == "train":
                moments += sums
            digest.update(f"{part} {sample.label} {digests}\n".encode())
            labels.append(sample.label)
            parts[part] += 1
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    np.save(folder / _LABELS, np.array(labels, np.int64))
    mean, square_mean = moments / ((255,), (255**2,)) / max(1, parts.get("train", 0) * size * size)
    std = np.sqrt((square_mean - mean**2).clip(_SMALLEST_STD**2))
    index = Decoded(
        folder=folder,
        size=size,
        parts=parts,
        num_classes=listing.num_classes,
        masked=listing.masked,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        content=digest.hexdigest(),
        left_out=tuple(left_out),
        without_mask=tuple(without_mask),
        missing=tuple(missing),
    )
    text = json.dumps({name: value for name, value in asdict(index).items() if name != "folder"}, indent=1)
    (folder / _INDEX).write_text(text, encoding="utf-8")


def _squares(listing: Listing, size: int) -> Iterator[tuple[str, Sample, tuple[Square, np.ndarray, str] | str]]:
    """Each part, sample, and what became of it, in order."""
    part_names = (part for part, count in listing.parts.items() for _ in range(count))
    samples = listing.samples()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(islice(samples, _BLOCK)):
            for sample, made in zip(block, pool.map(lambda sample: _made(sample, size), block), strict=True):
                yield next(part_names), sample, made


def _made(sample: Sample, size: int) -> tuple[Square, np.ndarray, str] | str:
    """The square, its sums and squares per channel, and the hashes of its files; or why there is none."""
    image, mask = _bytes(sample.image), _bytes(sample.mask)
    try:
        made = square(image, mask, size, border=sample.border, centre=sample.centre)
    except Unreadable as error:
        return str(error)
    pixels = made.image.reshape(-1, 3).astype(np.int64)
    digests = [hashlib.sha256(content or b"").hexdigest() for content in (image, mask)]
    return made, np.stack((pixels.sum(0), (pixels**2).sum(0))), " ".join(digests)


def _bytes(content: Content) -> bytes | None:
    if not isinstance(content, Path):
        return content
    try:
        return content.read_bytes()
    except (FileNotFoundError, PermissionError):  # lasting, unlike what a disk or a network may raise
        return None


def _read(folder: Path) -> Decoded:
    raw = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    tuples = {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
    return Decoded(**(raw | tuples), folder=folder)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Waits until no other process decodes the same images."""
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
