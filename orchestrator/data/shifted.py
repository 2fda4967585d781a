"""Data sets that test ImageNet classifiers on photographs outside ImageNet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from orchestrator.data import imagenet_folders as folders
from orchestrator.data.decode_cache import FORMAT as DECODING
from orchestrator.data.decode_cache import Decoded
from orchestrator.data.imagenet_classes import LABEL_SPACE, NUM_CLASSES, numbers
from orchestrator.data.imagenet_folders import Layout
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split
from orchestrator.data.locations import Place, expanded

ORIGINAL = "original"  # the test variant with ImageNet's photographs of the same classes

Groups = Mapping[str, tuple[int, ...]]  # the ImageNet classes that each class folder maps to


class Settings(folders.Settings):
    """Location of a test set and of its references; an encoder with a classifier needs the test set only.

    Args:
        imagenet_train: ImageNet's training photographs in folders by WordNet id, to fit a classifier on.
        imagenet_val: its validation photographs in folders by WordNet id, to measure the drop against.
    """

    imagenet_train: Place | None = None
    imagenet_val: Place | None = None


@dataclass(frozen=True)
class Shifted:
    """One test set.

    Args:
        variant: its name as a test split.
        images: number of published images.
        licence: under which they may be distributed.
        groups: the possible class folders below a root.
        inside: folder of the root that holds them.
        border: pixels on each side of a photograph that are not part of it.
        strict: whether other folders are rejected.
        restricted: whether classifiers choose among the classes of the set only.
    """

    variant: str
    images: int
    licence: str
    groups: Callable[[Path], Groups]
    inside: str = ""
    border: int = 0
    strict: bool = True
    restricted: bool = False

    def card(self, config: Settings) -> DatasetCard:
        """The card of the configured photographs; decodes them on the first start.

        Raises:
            UserError: if the layout is not the published one, or a photograph cannot be read.
        """
        test, train, val = self._test(config), _train(config), _val(config)
        count, variants = test.parts["test"], self._variants(config)
        contents = [None if part is None else part.content for part in (test, train, val)]
        remarks = () if count == self.images else (f"{count} of the {self.images} published images were found",)
        return DatasetCard(
            num_classes=NUM_CLASSES,
            mean=folders.MEAN,
            std=folders.STD,
            size=config.size,
            train_size=train.parts["train"] if train else 0,
            licence=self.licence,
            fingerprint=fingerprint(folders.FORMAT, DECODING, config.cut.fingerprint, config.seed, contents),
            variants=variants,
            bank_is_train=True,
            unlabelled=tuple(f"test/{variant}" for variant in variants) if _several(self._table(config)) else (),
            remarks=(*remarks, *(folders.remarks(config) if train else ())),
            label_space=LABEL_SPACE,
            present=tuple(np.flatnonzero(self._shown(config)).tolist()) if self.restricted else None,
        )

    def load(self, config: Settings, split: str) -> ImageSet:
        """One split; `bank` is `train`.

        Raises:
            ValueError: if there is no such split.
            UserError: if the layout is not the published one, or a photograph cannot be read.
        """
        train, val = _train(config), _val(config)
        require_split(split, self._variants(config), test_only=train is None)
        if train and not split.startswith("test/"):
            return train.part("validation" if split == "validation" else "train")
        table = self._table(config)
        if val and split == f"test/{ORIGINAL}":
            images = val.part("test")
            shown = self._shown(config)[_listed(images)]
            if not shown.all():  # otherwise they stay memory-mapped
                images = images.rows(np.flatnonzero(shown))
            # All classes of a folder count as correct for its photographs.
            return _answered(
                images, (table.T.astype(np.int64) @ table > 0) if _several(table) else np.eye(NUM_CLASSES) > 0
            )
        return _answered(self._test(config).part("test"), table)

    def _test(self, config: Settings) -> Decoded:
        root = expanded(config.root)
        classes = tuple((name, row) for row, name in enumerate(self.groups(root)))
        layout = Layout(root / self.inside, classes, self.border, self.strict)
        return folders.opened_test(layout, config.cut, config.cache)

    def _table(self, config: Settings) -> Bool[np.ndarray, "G 1000"]:
        """The ImageNet classes that each class folder maps to."""
        groups = self.groups(expanded(config.root))
        table = np.zeros((len(groups), NUM_CLASSES), bool)
        for row, classes in zip(table, groups.values(), strict=True):
            row[list(classes)] = True
        return table

    def _shown(self, config: Settings) -> Bool[np.ndarray, "1000"]:
        """The ImageNet classes that occur in the photographs."""
        return self._table(config)[np.unique(_listed(self._test(config).part("test")))].max(axis=0)

    def _variants(self, config: Settings) -> tuple[str, ...]:
        return (ORIGINAL, self.variant) if config.imagenet_val else (self.variant,)


def by_wnid(root: Path) -> Groups:
    """Class folders named by WordNet id."""
    return {wnid: (number,) for wnid, number in numbers().items()}


def _several(table: Bool[np.ndarray, "G C"]) -> bool:
    """Whether a folder maps to several classes, all of which count as correct."""
    return bool((table.sum(axis=1) > 1).any())


def _listed(images: ImageSet) -> Int64[np.ndarray, "N"]:
    assert images.labels is not None, "every photograph is listed with a label"
    return images.labels


def _answered(images: ImageSet, table: Bool[np.ndarray, "G C"]) -> ImageSet:
    """Images with their correct classes, looked up in a table by their labels."""
    accepted = table[_listed(images)]
    if _several(table):
        return ImageSet(images.images, accepted=accepted)
    return ImageSet(images.images, accepted.argmax(axis=1))


def _train(config: Settings) -> Decoded | None:
    return folders.opened_train(config, expanded(config.imagenet_train)) if config.imagenet_train else None


def _val(config: Settings) -> Decoded | None:
    if config.imagenet_val is None:
        return None
    return folders.opened_test(folders.imagenet_layout(expanded(config.imagenet_val)), config.cut, config.cache)
