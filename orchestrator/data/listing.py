"""What a folder or a set of shards holds, known before any image is decoded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.data.decoding import Interpolation

Content = Path | bytes | None


@dataclass(frozen=True)
class Sample:
    """An image to be decoded.

    Args:
        name: shown to the user in messages.
        image: its file, or the bytes of one.
        mask: of the foreground, likewise, or None.
        label: class from 0, or -1 without one.
        border: pixels on each side that are not part of the image.
        centre: share of its shorter side that is shown, in (0, 1].
        interpolation: with which it is resized.
    """

    name: str
    image: Content
    mask: Content
    label: int
    border: int = 0
    centre: float = 1.0
    interpolation: Interpolation = "bicubic"


@dataclass(frozen=True)
class Listing:
    """The images of a source.

    Args:
        source: what is listed, for messages; a new cache of the same source replaces the old one.
        parts: number of images in each part, such as `train`, in the order of the samples.
        num_classes: labels run from 0 to this, or None without labels.
        masked: whether there are masks.
        state: plain values that change whenever a file does, or what it is used for.
        samples: yields all images, part after part.
        unlabelled: parts without labels, where others have them.
        notes: how the files were understood: counts, classes, where labels come from, files ignored.
    """

    source: str
    parts: Mapping[str, int]
    num_classes: int | None
    masked: bool
    state: Any
    samples: Callable[[], Iterator[Sample]]
    unlabelled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
