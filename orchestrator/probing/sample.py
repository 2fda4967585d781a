"""Samples of images for expensive protocols."""

from augment import draws
from orchestrator.data.images import DatasetCard, ImageSet

SEED = 20261121


def tested_split(card: DatasetCard) -> str:
    """The test split of unmodified images: `test/original`, or the first variant.

    Raises:
        ValueError: if there is no test split.
    """
    if not card.variants:
        raise ValueError("there are no test images")
    return "test/original" if "original" in card.variants else f"test/{card.variants[0]}"


def sample(images: ImageSet, most: int) -> ImageSet:
    """At most `most` images of a split, drawn with a fixed seed."""
    if len(images) <= most:
        return images
    return images.rows(draws.permutation(SEED, 0, len(images))[:most].sort().values.numpy())
