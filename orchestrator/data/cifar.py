"""CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test images of 32 pixels, in pickles of the same form."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field
from torchvision.datasets import CIFAR10

from augment.config import Config as BaseConfig
from orchestrator.data import archives
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows, require_split
from orchestrator.data.locations import CACHE, Place

FORMAT = "cifar/1"  # raise it when code changes a pixel
VARIANTS = ("original",)
SIZE = 32  # pixels
TRAIN_IMAGES = 50_000  # as published, before the hold-out
HELD_OUT = 0.1
LICENCE = "no licence is stated by the authors; cite A. Krizhevsky, Learning multiple layers of features, 2009"


class Settings(BaseConfig):
    """Where the archive lies, and how it is split.

    Args:
        name: of the data set.
        root: folder of the archive, which is downloaded and unpacked there.
        download: whether to download it if it is missing.
        seed: chooses the tenth of the training images that is held out as `validation`.
    """

    name: str
    root: Place = CACHE
    download: bool = True
    seed: int = Field(0, ge=0, lt=2**32)


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100 as a data set.

    Args:
        archive: torchvision's class.
        num_classes: number of fine classes.
        mean: of the training images per channel, in [0, 1].
        std: of the training images per channel, in [0, 1].
    """

    archive: type[CIFAR10]
    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def card(self, config: Settings) -> DatasetCard:
        """The card of the configured data set; reads no file."""
        return DatasetCard(
            num_classes=self.num_classes,
            mean=self.mean,
            std=self.std,
            size=SIZE,
            train_size=TRAIN_IMAGES - round(HELD_OUT * TRAIN_IMAGES),
            licence=LICENCE,
            fingerprint=fingerprint(FORMAT, config.seed, archives.sums(self.archive)),
            variants=VARIANTS,
            bank_is_train=True,
        )

    def verify(self, config: Settings) -> None:
        """Checks all files before anything is started.

        Raises:
            UserError: if a file is missing or damaged, and cannot be downloaded.
        """
        archives.require(self.archive, config.root, download=config.download)

    def load(self, config: Settings, split: str) -> ImageSet:
        """Decodes one split.

        `train` and `bank` are the nine tenths of the training images that are not held out as `validation`; the
        published test images are `test/original` and nothing else.

        Raises:
            ValueError: if there is no such split.
            UserError: if a file is missing or damaged, and cannot be downloaded.
        """
        require_split(split, VARIANTS)
        folder = archives.require(self.archive, config.root, download=config.download)
        read = self.archive(folder.parent, train=split != "test/original")
        images, labels = np.ascontiguousarray(read.data), np.array(read.targets, np.int64)
        if split == "test/original":
            return ImageSet(images, labels)
        kept, held_out = held_out_rows(len(images), HELD_OUT, config.seed)
        rows = held_out if split == "validation" else kept
        return ImageSet(images[rows], labels[rows])
