"""fashion_scenes: garments on real photographs, with a known correlation of class and background. No download.

Foregrounds (Fashion-MNIST) and photographs are real, but their composition is not, so results do not carry over to
natural images. In exchange, every factor is known: class, background family, their correlation, and the mask.
"""

from pydantic import Field

from augment.config import Config as BaseConfig
from augment.config import Probability
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.datasets.fashion_scenes import ingredients
from orchestrator.datasets.fashion_scenes.composition import VARIANTS, compose

VALIDATION_VARIANTS = ("mixed_same", "mixed_rand")  # what the background gap compares
FORMAT = "fashion_scenes/1"  # raise it when code changes a pixel
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
LICENCE = (
    "MIT (foregrounds); CC0, CC-BY-2.0, CC-BY-4.0 and public domain (photographs): see fashion_scenes/ATTRIBUTION.md"
)


class Config(BaseConfig):
    """Which scenes to compose.

    Args:
        name: `fashion_scenes`.
        rho: probability that a training (and `test/original`) image has its class's own background family; otherwise
            the family is any of the ten. 0 means independent, and 1 means always the own family.
        train_size: images of the splits `train` and `bank`.
        validation_size: images of the split `validation`, and of each of its variants.
        test_size: images of each test split.
        seed: of all draws. A smaller split is a prefix of a larger one.
    """

    name: str = "fashion_scenes"
    rho: Probability = 0.5
    train_size: int = Field(8000, ge=10, le=8000)
    validation_size: int = Field(2000, ge=10, le=2000)
    test_size: int = Field(2000, ge=10, le=2000)
    seed: int = Field(0, ge=0, lt=2**32)


def card(config: Config) -> DatasetCard:
    """The card of the configured data set.

    Raises:
        UserError: if the list of checksums is missing.
    """
    return DatasetCard(
        num_classes=len(CLASSES),
        mean=(0.42, 0.40, 0.37),
        std=(0.25, 0.23, 0.25),
        size=ingredients.SIZE,
        train_size=config.train_size,
        licence=LICENCE,
        fingerprint=fingerprint(FORMAT, config.model_dump(exclude={"name"}), ingredients.checksums()),
        variants=VARIANTS,
        validation_variants=VALIDATION_VARIANTS,
        has_masks=True,
    )


def verify(config: Config) -> None:
    """Checks the files of all splits before anything is started.

    Raises:
        UserError: if one is missing or damaged.
    """
    ingredients.verify()


def load(config: Config, split: str) -> ImageSet:
    """Composes one split.

    `train` correlates class and background by rho. `bank` shows the same garments with new draws and rho = 0: labels
    for a kNN or a probe that must not reward the background. `validation` is `mixed_rand` of other garments on other
    photo strips, so it never shows a class on its own family: class and background are not independent there. The
    variants of `validation` draw the same garments on the same strips again. The test splits have their own garments
    and strips.

    Raises:
        ValueError: if there is no such split.
        UserError: if an ingredient is missing or damaged.
    """
    require_split(split, VARIANTS, VALIDATION_VARIANTS)
    part, _, variant = split.partition("/")
    variant = variant or ("mixed_rand" if split == "validation" else "original")
    part = "train" if part == "bank" else part
    size = {"train": config.train_size, "validation": config.validation_size, "test": config.test_size}[part]
    return compose(
        ingredients.cutouts(part)[:size],
        ingredients.windows(part),
        split=split,
        variant=variant,
        rho=0.0 if split == "bank" else config.rho,
        seed=config.seed,
    )
