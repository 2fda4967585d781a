"""backdrops: windows of photographs, classified by scene. A small transfer set that needs no download.

They are the backgrounds of fashion_scenes without garments, so an encoder trained on the composites has seen the strips
of `train`, but not those of `validation` and `test/original`. Eleven photographs make ten classes: the task is to
recognise a place by its texture and colours.
"""

import torch
from pydantic import Field

from augment import draws
from augment.config import Config as BaseConfig
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.datasets.fashion_scenes import ingredients

FORMAT = "backdrops/1"  # raise it when code changes a pixel
VARIANTS = ("original",)
IMAGES = {"train": 2000, "validation": 1000, "test": 2000}
LICENCE = "CC0, CC-BY-2.0, CC-BY-4.0 and public domain: see fashion_scenes/ATTRIBUTION.md"


class Config(BaseConfig):
    """Which windows are cut.

    Args:
        name: `backdrops`.
        seed: of the positions of the windows.
    """

    name: str = "backdrops"
    seed: int = Field(0, ge=0, lt=2**32)


def card(config: Config) -> DatasetCard:
    """The card of the configured data set.

    Raises:
        UserError: if the list of checksums is missing.
    """
    return DatasetCard(
        num_classes=len(ingredients.FAMILIES),
        mean=(0.40, 0.39, 0.34),
        std=(0.28, 0.24, 0.26),
        size=ingredients.SIZE,
        train_size=IMAGES["train"],
        licence=LICENCE,
        fingerprint=fingerprint(FORMAT, config.seed, ingredients.checksums()),
        variants=VARIANTS,
        bank_is_train=True,
    )


def load(config: Config, split: str) -> ImageSet:
    """Cuts the windows of one split, equally many of each family; `bank` is `train`.

    Raises:
        ValueError: if there is no such split.
        UserError: if an ingredient is missing or damaged.
    """
    require_split(split, VARIANTS)
    part = split.partition("/")[0]
    part = "train" if part == "bank" else part
    families = torch.arange(IMAGES[part]) % len(ingredients.FAMILIES)
    where = draws.uniform(config.seed, f"backdrops/{part}", (len(families), 3))
    return ImageSet(ingredients.windows(part).cut(families, where).numpy(), families.numpy())
