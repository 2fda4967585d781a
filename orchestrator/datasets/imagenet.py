"""ImageNet-1k: 1.28 million training and 50,000 test photographs (O. Russakovsky et al., IJCV 2015).

    root/train/<WordNet id>/*.JPEG    root/val/<WordNet id>/*.JPEG

The published `val` is used as the test, as usual; `validation` is held out of `train`.
"""

from orchestrator.data import imagenet_folders as folders
from orchestrator.data.decode_cache import FORMAT as DECODING
from orchestrator.data.decode_cache import Decoded
from orchestrator.data.imagenet_classes import LABEL_SPACE, NUM_CLASSES
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.data.locations import expanded

VARIANTS = ("original",)
LICENCE = "for non-commercial research and education only (image-net.org); the photographs are their owners'"


class Config(folders.Settings):
    """Location of ImageNet, and how it is decoded and split; see `imagenet_folders.Settings`."""

    name: str = "imagenet"


def card(config: Config) -> DatasetCard:
    """The card of the configured photographs; decodes them on the first start (193 GB at 224 pixels).

    Raises:
        UserError: if the layout is not the published one, or a photograph cannot be read.
    """
    train, test = _train(config), _test(config)
    return DatasetCard(
        num_classes=NUM_CLASSES,
        mean=folders.MEAN,
        std=folders.STD,
        size=config.size,
        train_size=train.parts["train"],
        licence=LICENCE,
        fingerprint=fingerprint(
            folders.FORMAT, DECODING, config.cut.fingerprint, config.seed, train.content, test.content
        ),
        variants=VARIANTS,
        bank_is_train=True,
        remarks=folders.remarks(config),
        label_space=LABEL_SPACE,
    )


def load(config: Config, split: str) -> ImageSet:
    """One split; `bank` is `train`.

    Raises:
        ValueError: if there is no such split.
        UserError: if the layout is not the published one, or a photograph cannot be read.
    """
    require_split(split, VARIANTS)
    if split == "test/original":
        return _test(config).part("test")
    return _train(config).part("validation" if split == "validation" else "train")


def _train(config: Config) -> Decoded:
    return folders.opened_train(config, expanded(config.root) / "train")


def _test(config: Config) -> Decoded:
    layout = folders.imagenet_layout(expanded(config.root) / "val")
    return folders.opened_test(layout, config.cut, config.cache)
