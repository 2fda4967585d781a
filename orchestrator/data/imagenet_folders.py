"""Photographs in one folder per ImageNet class: the layout of ImageNet and of the test sets for its classifiers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from augment import draws
from augment.config import Config as BaseConfig
from orchestrator.core.errors import UserError
from orchestrator.data.decode_cache import Decoded, decoded
from orchestrator.data.decoding import Interpolation
from orchestrator.data.file_tree import image_endings
from orchestrator.data.imagenet_classes import numbers
from orchestrator.data.images import held_out_rows
from orchestrator.data.listing import Listing, Sample
from orchestrator.data.locations import CACHE, Place, expanded
from orchestrator.data.own_images import state_of

FORMAT = "imagenet/1"  # raise it when code changes which images are trained on, or held out
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training images, as in every model zoo
CENTRE = 224 / 256  # share of the shorter side that a test shows, as in AlexNet's protocol
HELD_OUT = 0.01  # share of the training images; ImageNet's own validation images serve as its test

Photograph = tuple[str, int]  # name below the folder, and class


@dataclass(frozen=True)
class Layout:
    """A folder of class folders.

    Args:
        folder: the parent of the class folders.
        classes: names of the known class folders, each with its class.
        border: pixels on each side of a photograph that are not part of it.
        strict: whether any other folder is rejected instead of ignored.
    """

    folder: Path
    classes: tuple[tuple[str, int], ...]
    border: int = 0
    strict: bool = True


@dataclass(frozen=True)
class Cut:
    """How photographs become squares; see `Settings`."""

    size: int
    resize: int | None
    interpolation: Interpolation

    @property
    def centre(self) -> float:
        """The share of the shorter side that is kept."""
        return self.size / self.resize if self.resize else CENTRE

    @property
    def fingerprint(self) -> Any:
        """What tells it from others; the size alone where the rest is as in every version before."""
        whole = (self.size, self.resize, self.interpolation)
        return self.size if whole[1:] == (None, "bicubic") else list(whole)


class Settings(BaseConfig):
    """Location of the photographs, and how they are decoded.

    Args:
        name: of the data set.
        root: folder of the photographs; its layout depends on the data set.
        size: side of the decoded squares in pixels, which are cut out of the middle.
        resize: what the shorter side is resized to first, antialiased, in pixels; 256/224 of `size` by default.
            `evaluate` uses what the published weights of an encoder expect, unless the file defines it.
        interpolation: of the resizing.
        train_per_class: number of training images of each class to use, drawn by the seed; None for all.
        cache: folder for decoded images.
        seed: chooses what is trained on, and what of it is held out as `validation`.
    """

    name: str
    root: Place
    size: int = Field(224, ge=8, le=1024)
    resize: int | None = Field(None, ge=8, le=2048)
    interpolation: Interpolation = "bicubic"
    train_per_class: int | None = Field(None, ge=2)
    cache: Place = CACHE
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _shown(self) -> "Settings":
        if self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize >= size must hold, got resize={self.resize}, size={self.size}")
        return self

    @property
    def cut(self) -> "Cut":
        """How photographs become squares."""
        return Cut(self.size, self.resize, self.interpolation)


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
@lru_cache(maxsize=8)
def opened_test(layout: Layout, cut: Cut, cache: str) -> Decoded:
    """The photographs of a test, as the part `test`; decoded on the first start.

    Raises:
        UserError: if the layout is not the published one, or a photograph cannot be read.
    """
    return _decoded(layout, str(layout.folder), {"test": photographs(layout)}, cut, cache)


def opened_train(config: Settings, folder: Path) -> Decoded:
    """ImageNet's training photographs, as the parts `train` and `validation`; decoded on the first start.

    Each part is contiguous on disk and is memory-mapped, so it may exceed the memory.

    Args:
        config: number of photographs, and how they are decoded.
        folder: the parent of the class folders.

    Raises:
        UserError: if the layout is not the published one, or a photograph cannot be read.
    """
    return _opened_train(folder, config.train_per_class, seed=config.seed, cut=config.cut, cache=config.cache)


@lru_cache(maxsize=2)
def _opened_train(folder: Path, per_class: int | None, *, seed: int, cut: Cut, cache: str) -> Decoded:
    layout = imagenet_layout(folder)
    used: list[Photograph] = []
    for of_class in _by_class(layout):
        order = draws.permutation(draws.derive_seed(seed, FORMAT, str(of_class[0][1])), 0, len(of_class)).numpy()
        used += [of_class[row] for row in np.sort(order[:per_class])]
    rows = zip(("train", "validation"), held_out_rows(len(used), HELD_OUT, seed), strict=True)
    parts = {part: [used[row] for row in of_part] for part, of_part in rows}
    return _decoded(layout, f"{folder}, {per_class or 'all'} of each class", parts, cut, cache)


def remarks(config: Settings) -> tuple[str, ...]:
    """States that a classifier was fitted on a part of the training photographs."""
    return (f"trained on {config.train_per_class} photographs of each class",) if config.train_per_class else ()


def imagenet_layout(folder: Path) -> Layout:
    """Layout of ImageNet itself: class folders named by WordNet id."""
    return Layout(folder, tuple(numbers().items()))


def photographs(layout: Layout) -> list[Photograph]:
    """The photographs of a layout, in the order of `opened_test`.

    Raises:
        UserError: if the layout is not the published one.
    """
    return [photograph for of_class in _by_class(layout) for photograph in of_class]


def _by_class(layout: Layout) -> list[list[Photograph]]:
    """The photographs of each existing class folder, sorted by name."""
    folder, classes = layout.folder, dict(layout.classes)
    example = next(iter(classes))
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; it must hold one folder of photographs per class, such as {example}")
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in classes and entry.is_dir():
            names = sorted(name for name in os.listdir(entry) if _is_photograph(name))
            if not names:
                raise UserError(f"{folder / entry.name} holds no photographs")
            found.append([(f"{entry.name}/{name}", classes[entry.name]) for name in names])
        elif layout.strict and not entry.name.startswith(".") and (entry.is_dir() or _is_photograph(entry.name)):
            raise UserError(f"{folder} holds {entry.name}, which is not the folder of a class, such as {example}")
    if not found:
        raise UserError(f"{folder} holds no folder of a class, such as {example}")
    return found


def _is_photograph(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_endings() and not name.startswith(".")


def _decoded(layout: Layout, source: str, parts: Mapping[str, Sequence[Photograph]], cut: Cut, cache: str) -> Decoded:
    everything = [photograph for of_part in parts.values() for photograph in of_part]

    def samples() -> Iterator[Sample]:
        for name, label in everything:
            yield Sample(name, layout.folder / name, None, label, layout.border, cut.centre, cut.interpolation)

    listing = Listing(
        # A new cache of the same source replaces the old one, so the source says how it was cut.
        source=source if cut.fingerprint == cut.size else f"{source}, resized to {cut.resize} px, {cut.interpolation}",
        parts={part: len(of_part) for part, of_part in parts.items()},
        num_classes=1 + max(label for _, label in everything),
        masked=False,
        state=[
            layout.border,
            cut.centre,
            [[name, label, *state_of(layout.folder / name)] for name, label in everything],
        ],
        samples=samples,
    )
    images = decoded(listing, cache=expanded(cache), size=cut.size)
    if images.left_out:
        raise UserError(f"{source}: {images.left_out[0]} is unreadable; download it again: the test must be complete")
    return images
