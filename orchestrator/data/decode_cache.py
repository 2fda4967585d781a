"""The user's own images, decoded once into files that every later start maps into memory.

A cache is a folder named after the state of its source files, so adding, removing or changing a file makes a new one.
It is written under another name and renamed when complete.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.core.errors import UserError
from orchestrator.data.decoding import MAX_PIXELS, Square, Unreadable, square
from orchestrator.data.images import ImageSet, fingerprint
from orchestrator.data.listing import Content, Listing, Sample

FORMAT = "decoded/2"  # part of data fingerprints: raise it when code changes a pixel of images that were readable
_LAYOUT = "decoded/3"  # part of a cache's name: raise it when code changes a file here, or reads more images
_IMAGES, _MASKS, _LABELS, _INDEX = "images.u8", "masks.u8", "labels.npy", "index.json"
_BLOCK = 256  # images decoded before they are written, which bounds the memory
_SMALLEST_STD = 1 / 255  # images of a single colour are centred but not amplified


@dataclass(frozen=True)
class Decoded:
    """An open cache.

    Args:
        folder: its place.
        size: side of the images in pixels.
        parts: decoded images by part, in the order of the file.
        num_classes: of the labels, or None.
        masked: whether there are masks.
        mean: per channel of the images of `train`, in [0, 1]; 0 without images.
        std: likewise.
        content: hash of the source files; equal hashes mean equal pixels.
        left_out: images that could not be decoded, each with the reason.
        without_mask: images without a usable mask where others have one, each with the reason.
        missing: indices of those left out, among all listed images.
        binary_masks: number of masks whose values are 0 and 1 instead of 0 to 255.
        wide: number of 16-bit images.
        wide_peak: their largest value.
        unlabelled: parts without labels, where others have them.
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
    binary_masks: int = 0
    wide: int = 0
    wide_peak: int = 0
    unlabelled: tuple[str, ...] = ()

    def part(self, name: str) -> ImageSet:
        """The images of a part, mapped read-only from disk."""
        names = list(self.parts)
        start = sum(self.parts[other] for other in names[: names.index(name)])
        rows = slice(start, start + self.parts[name])
        labelled = self.num_classes is not None and name not in self.unlabelled
        labels = np.load(self.folder / _LABELS)[rows] if labelled else None
        return ImageSet(
            self._mapped(_IMAGES, 3)[rows],
            labels,
            self._mapped(_MASKS, 1)[rows].squeeze(-1) if self.masked else None,
        )

    def _mapped(self, file: str, channels: int) -> np.ndarray:
        shape = (sum(self.parts.values()), self.size, self.size, channels)
        # A plain array, because Ray ships it without an extra copy.
        return np.memmap(self.folder / file, np.uint8, mode="r", shape=shape).view(np.ndarray)


def decoded(listing: Listing, *, cache: Path, size: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The images of a listing, from the cache or decoded into it with one thread per core.

    Args:
        listing: what to decode.
        cache: folder of caches; older ones of the same source and size are removed.
        size: side of the images in pixels.
        max_pixels: a larger image is left out.

    Raises:
        UserError: if the cache cannot be written, or a file cannot be read for a reason that may pass.
    """
    place = fingerprint(listing.source, size)
    folder = cache / "decoded" / f"{place}-{fingerprint(_LAYOUT, max_pixels, listing.state)}"
    try:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{place}.lock")):
                if not folder.exists():
                    _build(listing, folder, place=place, size=size, max_pixels=max_pixels)
        return _read(folder)
    except OSError as error:
        raise UserError(
            f"the images of {listing.source} cannot be decoded into {folder.parent}: {error}; fix it, or name another "
            "folder in run.dataset.cache"
        ) from error


def _build(listing: Listing, folder: Path, *, place: str, size: int, max_pixels: int) -> None:
    for old in folder.parent.glob(f"{place}-*"):  # of another state, or incomplete
        shutil.rmtree(old)
    count = sum(listing.parts.values())
    need, free = count * size * size * (3 + listing.masked), shutil.disk_usage(folder.parent).free
    if need > free:
        raise OSError(f"it takes {need / 1e9:.2g} GB, and {free / 1e9:.2g} GB are free")
    sys.stderr.write(f"decoding {count} images of {listing.source} into {folder.parent}, once\n")
    half_done = folder.with_name(f"{folder.name}.tmp")
    half_done.mkdir()
    try:
        _write(listing, half_done, size, max_pixels)
        half_done.rename(folder)
    finally:  # frees the space where a disk was full
        shutil.rmtree(half_done, ignore_errors=True)


@dataclass
class _Tally:
    """What is known of the images decoded so far."""

    parts: dict[str, int]
    labels: list[int] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    without_mask: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    binary_masks: int = 0
    peaks: list[int] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    # Sums of the values and of their squares, exact in any order.
    moments: np.ndarray = field(default_factory=lambda: np.zeros((2, 3), np.int64))

    def add(self, part: str, sample: Sample, made: "_Made", *, masked: bool) -> None:
        square = made.square
        if masked:
            self.without_mask += [f"{sample.name} ({square.unmasked})"] if square.unmasked else []
            self.binary_masks += square.binary_mask
        if part == "train":
            self.moments += made.sums
        scale = " 0/1" if square.binary_mask else ""  # the same file used to be an empty mask
        self.digest.update(f"{part} {sample.label} {made.digests}{scale}\n".encode())
        self.labels.append(sample.label)
        self.peaks += [] if square.peak is None else [square.peak]
        self.parts[part] += 1

    def index(self, listing: Listing, folder: Path, size: int) -> Decoded:
        pixels = max(1, self.parts.get("train", 0) * size * size)
        mean, square_mean = self.moments / ((255,), (255**2,)) / pixels
        std = np.sqrt((square_mean - mean**2).clip(_SMALLEST_STD**2))
        return Decoded(
            folder=folder,
            size=size,
            parts=self.parts,
            num_classes=listing.num_classes,
            masked=listing.masked,
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            content=self.digest.hexdigest(),
            left_out=tuple(self.left_out),
            without_mask=tuple(self.without_mask),
            missing=tuple(self.missing),
            binary_masks=self.binary_masks,
            wide=len(self.peaks),
            wide_peak=max(self.peaks, default=0),
            unlabelled=listing.unlabelled,
        )


def _write(listing: Listing, folder: Path, size: int, max_pixels: int) -> None:
    tally = _Tally(dict.fromkeys(listing.parts, 0))
    with open(folder / _IMAGES, "wb") as images, open(folder / _MASKS, "wb") as masks:
        for place, (part, sample, made) in enumerate(_squares(listing, size, max_pixels)):
            if isinstance(made, str):
                tally.left_out.append(f"{sample.name} ({made})")
                tally.missing.append(place)
                continue
            images.write(made.square.image.tobytes())
            if listing.masked:
                masks.write(made.square.mask.tobytes())
            tally.add(part, sample, made, masked=listing.masked)
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    np.save(folder / _LABELS, np.array(tally.labels, np.int64))
    index = asdict(tally.index(listing, folder, size))
    text = json.dumps({name: value for name, value in index.items() if name != "folder"}, indent=1)
    (folder / _INDEX).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Made:
    """A decoded image, its sums and squares per channel, and the hashes of its files."""

    square: Square
    sums: np.ndarray
    digests: str


def _squares(listing: Listing, size: int, max_pixels: int) -> Iterator[tuple[str, Sample, _Made | str]]:
    """Each sample with its part and what it was decoded to, in order."""
    part_names = (part for part, count in listing.parts.items() for _ in range(count))
    samples = listing.samples()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(islice(samples, _BLOCK)):
            made = pool.map(lambda sample: _made(sample, size, max_pixels), block)
            for sample, one in zip(block, made, strict=True):
                yield next(part_names), sample, one


def _made(sample: Sample, size: int, max_pixels: int) -> _Made | str:
    """The decoded image, or why it cannot be decoded."""
    image, mask = _bytes(sample.image), _bytes(sample.mask)
    try:
        made = square(
            image,
            mask,
            size,
            border=sample.border,
            centre=sample.centre,
            interpolation=sample.interpolation,
            max_pixels=max_pixels,
        )
    except Unreadable as error:
        return str(error)
    pixels = made.image.reshape(-1, 3).astype(np.int64)
    digests = [hashlib.sha256(content or b"").hexdigest() for content in (image, mask)]
    return _Made(made, np.stack((pixels.sum(0), (pixels**2).sum(0))), " ".join(digests))


def _bytes(content: Content) -> bytes | None:
    if not isinstance(content, Path):
        return content
    try:
        # Reading a named pipe or a device may never end.
        return content.read_bytes() if stat.S_ISREG(os.stat(content).st_mode) else None
    # These last, unlike other errors of a disk or a network.
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _read(folder: Path) -> Decoded:
    raw = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    tuples = {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
    return Decoded(**(raw | tuples), folder=folder)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Waits while another process decodes the same images."""
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
