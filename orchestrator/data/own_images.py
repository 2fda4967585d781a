"""What the user's own images have in common, whichever files they come in: settings, card, splits, clear mistakes."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from augment.config import Config as BaseConfig
from orchestrator.core.errors import UserError
from orchestrator.data.decode_cache import FORMAT, Decoded, Listing, decoded
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.locations import CACHE, Place, expanded, located
from orchestrator.storage.object_store import ObjectPlace

PARTS = ("train", "validation", "test")
LICENCE = "as the owner of the files says"
VARIANT = "original"
_NAMED = 3  # images that a message names

Label = TypeVar("Label", str, int)


class Settings(BaseConfig):
    """Which images, and how they are decoded and split.

    Args:
        name: of the data set.
        root: where the images lie.
        size: side of the decoded squares in pixels: the shorter side is resized to it, bicubic and antialiased, and the
            middle is cut out.
        validation_share: of the training images, held out as `validation` where there is none of its own.
        max_bad_share: images that may be unreadable and left out; if there are more, something else is wrong.
        cache: folder for decoded images.
        seed: chooses what is held out.
    """

    name: str
    root: Place
    size: int = Field(224, ge=8, le=1024)
    validation_share: float = Field(0.1, gt=0, lt=1)
    max_bad_share: float = Field(0.01, ge=0, lt=1)
    cache: Place = CACHE
    seed: int = Field(0, ge=0, lt=2**32)


Lister = Callable[[Path | ObjectPlace], Listing]


@dataclass(frozen=True)
class OwnImages:
    """Images in one kind of files, as a data set.

    Args:
        listing: looks at what lies in a place.
    """

    listing: Lister

    def card(self, config: Settings) -> DatasetCard:
        """What the configured images are; decodes them if no earlier start has.

        Raises:
            UserError: if the images cannot be used as they are.
        """
        opened = self.opened(config)
        train = opened.parts["train"]
        own_validation = "validation" in opened.parts
        held_out = 0 if own_validation else len(held_out_rows(train, config.validation_share, config.seed)[1])
        return DatasetCard(
            num_classes=opened.num_classes,
            mean=triple(opened.mean),
            std=triple(opened.std),
            size=config.size,
            train_size=train - held_out,
            licence=LICENCE,
            fingerprint=fingerprint(FORMAT, config.size, config.validation_share, config.seed, opened.content),
            variants=(VARIANT,) if "test" in opened.parts else (),
            bank_is_train=True,
            has_masks=opened.masked,
            remarks=remarks(opened),
        )

    def load(self, config: Settings, split: str) -> ImageSet:
        """One split; `bank` is `train`, which has whatever labels there are.

        Raises:
            ValueError: if there is no such split.
            UserError: if the images cannot be used as they are.
        """
        opened = self.opened(config)
        require_split(split, (VARIANT,) if "test" in opened.parts else ())
        if split.startswith("test/"):
            return opened.part("test")
        if "validation" in opened.parts:
            return opened.part("validation" if split == "validation" else "train")
        images = opened.part("train")
        kept, held_out = held_out_rows(len(images), config.validation_share, config.seed)
        rows = held_out if split == "validation" else kept
        labels, masks = (None if array is None else array[rows] for array in (images.labels, images.masks))
        return ImageSet(images.images[rows], labels, masks)

    def opened(self, config: Settings) -> Decoded:
        """The decoded images behind the splits.

        Raises:
            UserError: if the images cannot be used as they are.
        """
        place, cache = located(config.root), expanded(config.cache)
        return _opened(self.listing, place, cache, config.size, config.max_bad_share)


def class_numbers(
    root: Path | ObjectPlace, labels: Mapping[str, Sequence[Label | None]]
) -> tuple[int | None, dict[str, Sequence[int]]]:
    """Labels as numbers, in the sorted order of those in `train`.

    Args:
        root: for messages.
        labels: of each image by part; None where an image has none.

    Returns:
        How many classes there are, or None where nothing tells images apart, and the number of each image by part, -1
        without labels.

    Raises:
        UserError: if some images have labels and others not, or a part has a class that `train` has not.
    """
    bare = {part: sum(label is None for label in of_part) for part, of_part in labels.items()}
    total = sum(len(of_part) for of_part in labels.values())
    if 0 < sum(bare.values()) < total:
        counts = ", ".join(f"{count} of {len(labels[part])} in {part}" for part, count in bare.items())
        raise UserError(f"{root}: all images or none must have labels, but some have none ({counts})")
    classes = sorted({label for label in labels["train"] if label is not None})
    for part, of_part in labels.items():
        unknown = sorted({label for label in of_part if label is not None} - set(classes))
        if unknown:
            raise UserError(f"{root}: {part} has images of class {unknown[0]}, and train has none of it")
    if len(classes) < 2:  # as where all images lie in one folder for want of another place
        return None, {part: [-1] * len(of_part) for part, of_part in labels.items()}
    number = {label: place for place, label in enumerate(classes)}
    known = {part: [number[label] for label in of_part if label is not None] for part, of_part in labels.items()}
    return len(classes), dict(known)


def part_folders(root: Path) -> dict[str, Path]:
    """The folders of the parts: those of the names that are there, or the root itself as `train`.

    Raises:
        UserError: if there is no such folder, or it has other parts but no `train`.
    """
    require_place(root)
    if not root.is_dir():
        raise UserError(f"run.dataset.root = {root}: it is a file; name the folder that holds the images")
    there = [part for part in PARTS if (root / part).is_dir()]
    if there and "train" not in there:
        raise UserError(f"{root} holds {there[0]}/ but no train/: name the folder with the training images train")
    if "train" not in there:
        return {"train": root}
    strangers = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    strangers = [name for name in strangers if name not in (*PARTS, "masks")]
    if strangers:
        raise UserError(f"{root} holds {strangers[0]}/ beside train/: only {', '.join(PARTS)} and masks may be there")
    return {part: root / part for part in there}


def require_place(root: Path) -> None:
    """Refuse a root that cannot be looked into.

    Raises:
        UserError: if there is nothing there, or nothing to be seen.
    """
    if not root.exists():
        raise UserError(f"run.dataset.root = {root}: there is no such file or folder")
    if not os.access(root, os.R_OK | (os.X_OK if root.is_dir() else 0)):
        raise UserError(f"run.dataset.root = {root}: it must be readable; look at its permissions")


def state_of(file: str | Path) -> list[int]:
    """What changes when a file does, or when it becomes readable; all 0 where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return [0, 0, 0]
    return [found.st_size, found.st_mtime_ns, found.st_mode]


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
@lru_cache(maxsize=4)
def _opened(lister: Lister, root: Path | ObjectPlace, cache: Path, size: int, max_bad_share: float) -> Decoded:
    opened = decoded(lister(root), cache=cache, size=size)
    left_out = opened.left_out
    total = sum(opened.parts.values()) + len(left_out)
    if len(left_out) > max_bad_share * total:
        law = f"{len(left_out)} of {total} left out must be at most run.dataset.max_bad_share = {max_bad_share:g}"
        raise UserError(f"{root}: {left_out_text(left_out)}; {law}")
    for part, count in opened.parts.items():
        if count < (2 if part == "train" else 1):
            raise UserError(f"{root}: {part} has {count} images that can be read, too few to use")
    for remark in remarks(opened):
        sys.stderr.write(f"warning: {root}: {remark}\n")
    return opened


def remarks(opened: Decoded) -> tuple[str, ...]:
    """What a reader of the numbers should know of how the images came out."""
    found = [left_out_text(opened.left_out)] if opened.left_out else []
    if bare := opened.without_mask:
        found.append(f"{len(bare)} of {sum(opened.parts.values())} images have no usable mask: {_first(bare)}")
    return tuple(found)


def left_out_text(left_out: tuple[str, ...]) -> str:
    """Images that were left out, counted, and the first of them by name."""
    verb = "image is" if len(left_out) == 1 else "images are"
    return f"{len(left_out)} unreadable {verb} left out: {_first(left_out)}"


def _first(images: tuple[str, ...]) -> str:
    return ", ".join(images[:_NAMED]) + (", ..." if len(images) > _NAMED else "")


def triple(values: Sequence[float]) -> tuple[float, float, float]:
    """One number per channel, as a card has it."""
    red, green, blue = values
    return red, green, blue
