"""The user's own images in any kind of file: settings, card, splits, warnings."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_serializer

from augment.config import Config as BaseConfig
from orchestrator.core.errors import UserError
from orchestrator.data.decode_cache import FORMAT, Decoded, decoded
from orchestrator.data.decoding import MAX_PIXELS, WIDE_PEAK
from orchestrator.data.file_tree import examples
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.listing import Listing
from orchestrator.data.locations import CACHE, Place, expanded, located
from orchestrator.storage.object_store import ObjectPlace

LICENCE = "as the owner of the files says"
VARIANT = "original"
NO_LABELS = "none"
_ADDED = ("splits", "labels", "max_pixels")  # settings that files written before they existed do not have
_FEW = 50  # images of a split, below which an accuracy moves in steps of more than 2 points


def _require_train(splits: dict[str, list[str]]) -> dict[str, list[str]]:
    if "train" not in splits:
        raise ValueError("must name train, the files to train on")
    return splits


Patterns = Annotated[
    dict[Literal["train", "validation", "test"], Annotated[list[str], Field(min_length=1)]],
    AfterValidator(_require_train),
]
PatternItems = tuple[tuple[str, tuple[str, ...]], ...]


def _listed(splits: Any) -> Any:
    """One pattern may be written without brackets."""
    if not isinstance(splits, dict):
        return splits
    return {part: [pattern] if isinstance(pattern, str) else pattern for part, pattern in splits.items()}


class Settings(BaseConfig):
    """Location of the images, and how they are decoded and split.

    Args:
        name: of the data set.
        root: file, folder or address of the images.
        size: side of the decoded squares in pixels: the shorter side is resized to it, bicubic and antialiased, and the
            centre is cut out.
        splits: which files belong to which split: `auto` reads it from the names of folders and files, `none` puts all
            into `train`, and a mapping gives for each split a folder or a pattern with wildcards, or a list of them.
        validation_share: share of the training images that is held out as `validation` without a split of that name.
        max_bad_share: share of the images that may be unreadable and left out; with more of them, a run is refused.
        max_pixels: a larger image is left out; decoding takes up to 12 bytes of memory for each pixel.
        cache: folder for decoded images.
        seed: chooses what is held out.
    """

    name: str
    root: Place
    size: int = Field(224, ge=8, le=1024)
    splits: Annotated[Literal["auto", "none"] | Patterns, BeforeValidator(_listed)] = "auto"
    validation_share: float = Field(0.1, gt=0, lt=1)
    max_bad_share: float = Field(0.01, ge=0, lt=1)
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    cache: Place = CACHE
    seed: int = Field(0, ge=0, lt=2**32)

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        # A run that does not use them keeps its identity, and its sweep can be continued.
        fields = type(self).model_fields
        written = handler(self)
        return {
            name: value
            for name, value in written.items()
            if name not in _ADDED or getattr(self, name) != fields[name].default
        }

    @property
    def patterns(self) -> "PatternItems | None":
        """The setting `splits` as items that can be hashed: empty for `none`, and None for `auto`."""
        if isinstance(self.splits, str):
            return None if self.splits == "auto" else ()
        return tuple((part, tuple(patterns)) for part, patterns in self.splits.items())


# Lists the images of a root; equal listers give the same listing.
Lister = Callable[[Path | ObjectPlace], Listing]


@dataclass(frozen=True)
class OwnImages:
    """Images in one kind of files, as a data set.

    Args:
        listing: lists the images of a root.
    """

    listing: Lister

    def card(self, config: Settings) -> DatasetCard:
        """The card of the configured images; decodes them on the first start.

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
            has_masks=opened.masked and len(opened.without_mask) < sum(opened.parts.values()),
            unlabelled=tuple(f"test/{VARIANT}" if part == "test" else part for part in opened.unlabelled),
            remarks=(*remarks(opened), *_few(opened, config.validation_share)),
        )

    def load(self, config: Settings, split: str) -> ImageSet:
        """One split; `bank` is `train`.

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
        return _opened(
            self.listing, place, cache, config.size, config.max_bad_share, config.max_pixels, config.validation_share
        )


def require_place(root: Path) -> None:
    """Refuse a root that cannot be read.

    Raises:
        UserError: if it does not exist, or its permissions forbid it.
    """
    if not root.exists():
        raise UserError(f"run.dataset.root = {root}: there is no such file or folder")
    if not os.access(root, os.R_OK | (os.X_OK if root.is_dir() else 0)):
        raise UserError(f"run.dataset.root = {root}: it must be readable; look at its permissions")


def state_of(file: str | Path) -> list[int]:
    """Size, modification time and mode of a file, to notice changes; all 0 if there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return [0, 0, 0]
    return [found.st_size, found.st_mtime_ns, found.st_mode]


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
@lru_cache(maxsize=4)
def _opened(
    lister: Lister,
    root: Path | ObjectPlace,
    cache: Path,
    size: int,
    max_bad_share: float,
    max_pixels: int,
    validation_share: float,
) -> Decoded:
    listing = lister(root)
    for note in (*listing.notes, *_held_out_text(listing, validation_share)):
        sys.stderr.write(f"note: {root}: {note}\n")
    opened = decoded(listing, cache=cache, size=size, max_pixels=max_pixels)
    left_out = opened.left_out
    total = sum(opened.parts.values()) + len(left_out)
    if len(left_out) > max_bad_share * total:
        law = f"{len(left_out)} of {total} left out must be at most run.dataset.max_bad_share = {max_bad_share:g}"
        raise UserError(f"{root}: {left_out_text(left_out)}; {law}")
    for part, count in opened.parts.items():
        if count < (2 if part == "train" else 1):
            raise UserError(f"{root}: {part} has {count} images that can be read, too few to use")
    for remark in (*remarks(opened), *_few(opened, validation_share)):
        sys.stderr.write(f"warning: {root}: {remark}\n")
    return opened


def remarks(opened: Decoded) -> tuple[str, ...]:
    """What a reader of the numbers should know of how the images were decoded."""
    found = [left_out_text(opened.left_out)] if opened.left_out else []
    if bare := opened.without_mask:
        found.append(f"{len(bare)} of {sum(opened.parts.values())} images have no usable mask: {examples(bare)}")
    if opened.binary_masks:
        found.append(f"{opened.binary_masks} masks hold 0 and 1 only: 1 is read as foreground")
    if opened.wide and 0 < opened.wide_peak <= WIDE_PEAK // 2:
        found.append(
            f"{opened.wide} images have 16 bits per channel and values of 0 to {opened.wide_peak} only "
            f"({opened.wide_peak.bit_length()} bits), so they look dark: multiply them to use 0 to {WIDE_PEAK}"
        )
    return tuple(found)


def _held_out_text(listing: Listing, validation_share: float) -> list[str]:
    if "validation" in listing.parts:
        return []
    count = len(held_out_rows(listing.parts["train"], validation_share, 0)[1])
    return [f"{count} of the images in train are held out as validation"]


def _few(opened: Decoded, validation_share: float) -> tuple[str, ...]:
    """Splits that are too small for the numbers measured on them to mean anything."""
    counts = {"validation": len(held_out_rows(opened.parts["train"], validation_share, 0)[1])} | dict(opened.parts)
    del counts["train"]
    return tuple(
        f"{part} has {count} {'image' if count == 1 else 'images'}, too few to compare trials by: an accuracy moves in "
        f"steps of {100 / count:.3g} points"
        for part, count in counts.items()
        if count < _FEW
    )


def left_out_text(left_out: tuple[str, ...]) -> str:
    """Images that were left out: how many, and the first of them by name."""
    verb = "image is" if len(left_out) == 1 else "images are"
    return f"{len(left_out)} unreadable {verb} left out: {examples(left_out)}"


def triple(values: Sequence[float]) -> tuple[float, float, float]:
    """One number per channel, as a card has it."""
    red, green, blue = values
    return red, green, blue
