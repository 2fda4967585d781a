"""STL-10: 5,000 labelled and 100,000 unlabelled training images of 96 pixels, and 8,000 test images."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from pydantic import Field
from torchvision.datasets import STL10

from augment.config import Config as BaseConfig
from orchestrator.data import archives
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.locations import CACHE, Place

FORMAT = "stl10/1"  # raise it when code changes a pixel
VARIANTS = ("original",)
NUM_CLASSES = 10
SIZE = 96  # pixels
LABELLED_IMAGES, UNLABELLED_IMAGES = 5_000, 100_000  # as published, before the hold-out
HELD_OUT = 0.1
LICENCE = "research use, as for ImageNet, from which the images come; cite A. Coates, H. Lee and A. Ng, AISTATS 2011"
BLOCK = 2000  # images transposed at once, which bounds the memory


class Config(BaseConfig):
    """Location of the archive, and which images are trained on.

    Args:
        name: `stl10`.
        root: folder of the archive, which is downloaded and unpacked there.
        download: whether to download it (2.6 GB) if it is missing.
        unlabelled: whether to train on the unlabelled images too, as the authors intend; then `train` has no labels.
        seed: chooses the tenth of the labelled training images that is held out as `validation`.
    """

    name: str = "stl10"
    root: Place = CACHE
    download: bool = True
    unlabelled: bool = True
    seed: int = Field(0, ge=0, lt=2**32)


def card(config: Config) -> DatasetCard:
    """The card of the configured data set; reads no file."""
    kept = LABELLED_IMAGES - round(HELD_OUT * LABELLED_IMAGES)
    return DatasetCard(
        num_classes=NUM_CLASSES,
        mean=(0.4467, 0.4398, 0.4066),  # of the labelled training images
        std=(0.2603, 0.2566, 0.2713),
        size=SIZE,
        train_size=kept + config.unlabelled * UNLABELLED_IMAGES,
        licence=LICENCE,
        fingerprint=fingerprint(FORMAT, config.seed, config.unlabelled, archives.sums(STL10)),
        variants=VARIANTS,
        bank_is_train=not config.unlabelled,
        unlabelled=("train",) if config.unlabelled else (),
    )


def verify(config: Config) -> None:
    """Checks all files before anything is started.

    Raises:
        UserError: if a file is missing or damaged, and cannot be downloaded.
    """
    archives.require(STL10, config.root, download=config.download)


def load(config: Config, split: str) -> ImageSet:
    """Decodes one split.

    `bank` is the nine tenths of the labelled training images that are not held out as `validation`; `train` adds the
    unlabelled images if configured. The ten folds of the original protocol are not used.

    Raises:
        ValueError: if there is no such split.
        UserError: if a file is missing or damaged, and cannot be downloaded.
    """
    require_split(split, VARIANTS)
    folder = archives.require(STL10, config.root, download=config.download)
    if split == "test/original":
        return ImageSet(_upright(_planes(folder, "test")), _labels(folder, "test"))
    planes, labels = _planes(folder, "train"), _labels(folder, "train")
    kept, held_out = held_out_rows(len(planes), HELD_OUT, config.seed)
    if split == "train" and config.unlabelled:
        return ImageSet(_upright(planes[kept], _planes(folder, "unlabeled")))
    rows = held_out if split == "validation" else kept
    return ImageSet(_upright(planes[rows]), labels[rows])


def _planes(folder: Path, part: str) -> UInt8[np.ndarray, "N 3 W H"]:
    """The images of a file in its own layout: channels first, column-major."""
    return np.memmap(folder / f"{part}_X.bin", np.uint8, mode="r").reshape(-1, 3, SIZE, SIZE)


def _labels(folder: Path, part: str) -> Int64[np.ndarray, "N"]:
    """Classes from 0; the file counts from 1."""
    return np.fromfile(folder / f"{part}_y.bin", np.uint8).astype(np.int64) - 1


def _upright(*parts: UInt8[np.ndarray, "_ 3 W H"]) -> UInt8[np.ndarray, "N H W 3"]:
    """The concatenated parts with rows, columns and channels in the usual order."""
    images = np.empty((sum(len(part) for part in parts), SIZE, SIZE, 3), np.uint8)
    start = 0
    for part in parts:
        for block in range(0, len(part), BLOCK):
            turned = part[block : block + BLOCK].transpose(0, 3, 2, 1)
            images[start : start + len(turned)] = turned
            start += len(turned)
    return images
