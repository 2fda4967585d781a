"""garments: grey clothes on black, ten classes. A small transfer set that needs no download.

They are the foregrounds of fashion_scenes without its tints, shifts and backgrounds, so an encoder trained on the
composites has seen those of `train`, but none of `validation` and `test/original`.
"""

import numpy as np

from augment.config import Config as BaseConfig
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.datasets.fashion_scenes import CLASSES, ingredients

FORMAT = "garments/1"  # raise it when code changes a pixel
VARIANTS = ("original",)
TRAIN_IMAGES = 8000
LICENCE = "MIT: see fashion_scenes/ATTRIBUTION.md"
BORDER = (ingredients.SIZE - ingredients.CUTOUT_SIZE) // 2  # pixels


class Config(BaseConfig):
    """Without settings."""

    name: str = "garments"


def card(config: Config) -> DatasetCard:
    """The card of the data set.

    Raises:
        UserError: if the list of checksums is missing.
    """
    return DatasetCard(
        num_classes=len(CLASSES),
        mean=(0.22, 0.22, 0.22),
        std=(0.33, 0.33, 0.33),
        size=ingredients.SIZE,
        train_size=TRAIN_IMAGES,
        licence=LICENCE,
        fingerprint=fingerprint(FORMAT, ingredients.checksums()),
        variants=VARIANTS,
        bank_is_train=True,
    )


def load(config: Config, split: str) -> ImageSet:
    """All garments of one split, centred in the image; `bank` is `train`.

    Raises:
        ValueError: if there is no such split.
        UserError: if an ingredient is missing or damaged.
    """
    require_split(split, VARIANTS)
    part = split.partition("/")[0]
    grey = ingredients.cutouts("train" if part == "bank" else part)
    framed = np.pad(grey, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    return ImageSet(np.repeat(framed[..., None], 3, axis=3), np.arange(len(grey)) % len(CLASSES))
