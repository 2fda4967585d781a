"""emoji_scenes: one symbol in seven drawing styles on real photographs; its test sets are new styles and new symbols.

A rendition shift that needs no download: known classes in unknown drawing styles. Class and background are independent
in every split except `train`, so nothing else shifts. About 380 symbols are too few for pre-training; the set is for
encoders trained on other data.
"""

from pydantic import Field

from augment.config import Config as BaseConfig
from augment.config import Probability
from orchestrator.data import checked_files
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.datasets.emoji_scenes import sprites
from orchestrator.datasets.emoji_scenes.composition import compose
from orchestrator.datasets.emoji_scenes.sprites import CLASSES
from orchestrator.datasets.fashion_scenes import ingredients

FORMAT = "emoji_scenes/1"  # raise it when code changes a pixel
# Symbols and styles of the tests: those of `train`, or others.
SPRITES = {
    "train": ("train", sprites.SEEN_STYLES),
    "validation": ("validation", sprites.SEEN_STYLES),
    "test/original": ("train", sprites.SEEN_STYLES),
    "test/unseen_glyph": ("test", sprites.SEEN_STYLES),
    "test/unseen_style": ("train", sprites.UNSEEN_STYLES),
    "test/unseen_both": ("test", sprites.UNSEEN_STYLES),
}
VARIANTS = tuple(split.removeprefix("test/") for split in SPRITES if split.startswith("test/"))
LICENCE = (
    "Apache-2.0, MIT, CC-BY-4.0 and, in test/unseen_style and test/unseen_both, CC-BY-SA-4.0 (foregrounds); CC0, "
    "CC-BY-2.0, CC-BY-4.0 and public domain (photographs): see ATTRIBUTION.md of emoji_scenes and of fashion_scenes"
)


class Config(BaseConfig):
    """Which scenes to compose.

    Args:
        name: `emoji_scenes`.
        rho: probability that a training image has its class's own background family; otherwise, and in all other
            splits, the family is any of the ten.
        size: requested side in pixels. Scenes are composed at 32, or at 64 for any larger size, the resolution of the
            sprites; an encoder resamples them to its own size.
        train_size: images of the splits `train` and `bank`.
        validation_size: images of the split `validation`.
        test_size: images of each test split.
        seed: of all draws. A smaller split is a prefix of a larger one.
    """

    name: str = "emoji_scenes"
    rho: Probability = 0.0
    size: int = Field(default=32, ge=1)
    train_size: int = Field(default=8000, ge=10, le=20000)
    validation_size: int = Field(default=1000, ge=10, le=20000)
    test_size: int = Field(default=1000, ge=10, le=20000)
    seed: int = Field(default=0, ge=0, lt=2**32)


def card(config: Config) -> DatasetCard:
    """The card of the configured data set.

    Raises:
        UserError: if a list of checksums is missing.
    """
    files = checked_files.checksums(sprites.FOLDER), ingredients.checksums()
    settings = config.model_dump(exclude={"name"}) | {"size": _side(config)}
    return DatasetCard(
        num_classes=len(CLASSES),
        mean=(0.55, 0.47, 0.38),
        std=(0.31, 0.25, 0.26),
        size=_side(config),
        train_size=config.train_size,
        licence=LICENCE,
        fingerprint=fingerprint(FORMAT, settings, *files),
        variants=VARIANTS,
        has_masks=True,
        remarks=(
            "sprites: 1108 in train and test/original, 460, 424 and 177 in the other test splits; sprites repeat",
        ),
    )


def verify(config: Config) -> None:
    """Checks the files of all splits before anything is started.

    Raises:
        UserError: if one is missing or damaged.
    """
    checked_files.verify(sprites.FOLDER)
    ingredients.verify()


def load(config: Config, split: str) -> ImageSet:
    """Composes one split; all have the same number of images of each class.

    `train` ties class and background by rho; `bank` shows the same sprites with new draws and rho = 0. `validation` has
    its own symbols. `test/original` shows the sprites of `train`, `test/unseen_glyph` other symbols in the same
    styles, `test/unseen_style` the same symbols in two other styles, and `test/unseen_both` other symbols in other
    styles. Validation and test use separate strips of the photographs.

    Raises:
        ValueError: if there is no such split.
        UserError: if a file is missing or damaged.
    """
    require_split(split, VARIANTS)
    glyphs, styles = SPRITES["train" if split == "bank" else split]
    part = "train" if split == "bank" else split.partition("/")[0]
    size = {"train": config.train_size, "validation": config.validation_size, "test": config.test_size}[part]
    return compose(
        sprites.load(glyphs, styles, _side(config)),
        ingredients.windows(part, _side(config)),
        size,
        split=split,
        rho=config.rho if split == "train" else 0.0,
        seed=config.seed,
    )


def _side(config: Config) -> int:
    return sprites.SIZES[config.size > sprites.SIZES[0]]
