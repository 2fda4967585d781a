"""The types of data: a decoded image set, and the card that describes a data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from augment import draws

# Every data set with training images has these splits, and `test/<variant>` and `validation/<variant>` for the variants
# on its card.
SPLITS = ("train", "bank", "validation")


@dataclass(frozen=True)
class ImageSet:
    """One decoded split in memory; arrays from Ray's object store are read-only.

    Args:
        images: RGB, 0 to 255, (N, H, W, 3).
        labels: class of each image from 0, (N,), or None without labels.
        masks: foreground coverage, 0 to 255, (N, H, W), or None.
        accepted: which classes count as correct, (N, C), instead of labels where several may be.

    Raises:
        ValueError: if dtypes or lengths are inconsistent.
    """

    images: UInt8[np.ndarray, "N H W 3"]
    labels: Int64[np.ndarray, "N"] | None = None
    masks: UInt8[np.ndarray, "N H W"] | None = None
    accepted: Bool[np.ndarray, "N C"] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise ValueError(f"images must be uint8 (N, H, W, 3), got {self.images.dtype} {self.images.shape}")
        if self.labels is not None and (self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]):
            raise ValueError(f"labels must be int64 ({len(self)},), got {self.labels.dtype} {self.labels.shape}")
        if self.masks is not None and (self.masks.dtype != np.uint8 or self.masks.shape != self.images.shape[:3]):
            raise ValueError(f"masks must be uint8 {self.images.shape[:3]}, got {self.masks.dtype} {self.masks.shape}")
        if self.accepted is not None and (self.accepted.dtype != np.bool_ or len(self.accepted) != len(self)):
            raise ValueError(f"accepted must be bool ({len(self)}, C), got {self.accepted.dtype} {self.accepted.shape}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        arrays = (self.images, self.labels, self.masks, self.accepted)
        return sum(array.nbytes for array in arrays if array is not None)

    def rows(self, rows: Int64[np.ndarray, "M"]) -> "ImageSet":
        """Only these rows, in this order."""
        arrays = (self.labels, self.masks, self.accepted)
        return ImageSet(self.images[rows], *(None if array is None else array[rows] for array in arrays))


@dataclass(frozen=True)
class DatasetCard:
    """Description of a configured data set.

    Args:
        num_classes: labels run from 0 to this, or None without labels.
        mean: of the training images per channel, in [0, 1].
        std: of the training images per channel, in [0, 1].
        size: side of the square images in pixels.
        train_size: number of training images: those of the split `train`, or more if that is a sample of a stream. 0
            for a data set with test splits only.
        licence: under which the images may be distributed; it is exported with an encoder.
        fingerprint: changes with every setting or file that changes a pixel; metrics compare only if it is equal.
        variants: of the test split, each loaded as `test/<variant>`; the first is the most similar to `train`.
        validation_variants: of the validation split, each loaded as `validation/<variant>`.
        bank_is_train: whether the splits `bank` and `train` are the same, so that one copy in memory is enough.
        has_masks: whether the images of `train` have usable masks of their foreground.
        unlabelled: splits without labels in a data set with labels.
        remarks: what a reader of the metrics should know about the data, such as the number of images left out.
        metric: of the test split: `accuracy`, or `mean_per_class`, the mean of the accuracies of the classes.
        label_space: name of a known set of classes, for encoders that bring a classifier for it: `imagenet1k`.
        present: classes in the test, if not all; a classifier chooses among these.
    """

    num_classes: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    train_size: int
    licence: str
    fingerprint: str
    variants: tuple[str, ...]
    validation_variants: tuple[str, ...] = ()
    bank_is_train: bool = False
    has_masks: bool = False
    unlabelled: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    metric: Literal["accuracy", "mean_per_class"] = "accuracy"
    label_space: str | None = None
    present: tuple[int, ...] | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """All splits that can be loaded."""
        return split_names(self.variants, self.validation_variants, test_only=self.train_size == 0)

    def labelled(self, split: str) -> bool:
        """Whether the images of a split have labels."""
        return self.num_classes is not None and split not in self.unlabelled


def fingerprint(*parts: object) -> str:
    """A hash of plain values (anything JSON can hold) as 16 hexadecimal digits, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def held_out_rows(
    count: int, share: float, seed: int
) -> tuple[Int64[np.ndarray, "kept"], Int64[np.ndarray, "held_out"]]:
    """The rows to train on and those to validate on, for a data set without a validation split.

    Args:
        count: number of rows.
        share: to hold out, in (0, 1); at least one row is held out, and at least one of two is kept.
        seed: of the choice.

    Returns:
        Rows kept and rows held out, each in ascending order.
    """
    order = draws.permutation(draws.derive_seed(seed, "held out"), 0, count).numpy()
    held_out = max(1, min(count - 1, round(share * count)))
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def drawn_places(labels: Int64[np.ndarray, "N"], seed: int) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "N"]]:
    """A random order of all images, and the position of each within its class, from 0."""
    order = draws.permutation(seed, 0, len(labels)).numpy()
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    places = np.empty_like(order)
    places[by_class] = np.arange(len(labels)) - (counts.cumsum() - counts)[labels[by_class]]
    return order, places


def split_names(
    variants: Sequence[str], validation_variants: Sequence[str] = (), *, test_only: bool = False
) -> tuple[str, ...]:
    """The splits of a data set with these variants of its test and validation splits."""
    tests, validations = (f"test/{name}" for name in variants), (f"validation/{name}" for name in validation_variants)
    return *(() if test_only else SPLITS), *tests, *validations


def require_split(
    split: str, variants: Sequence[str], validation_variants: Sequence[str] = (), *, test_only: bool = False
) -> None:
    """Rejects a split that the data set does not have.

    Raises:
        ValueError: naming the splits that exist.
    """
    known = split_names(variants, validation_variants, test_only=test_only)
    if split not in known:
        why = ": there is nothing to train on" if test_only and split in SPLITS else ""
        raise ValueError(f"split must be one of {', '.join(known)}, got {split!r}{why}")
