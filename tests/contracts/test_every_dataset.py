"""Every file in orchestrator/datasets is a data set: `Config`, `load(config, split)`, `card(config)`."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from augment.config import Config
from orchestrator.core.registry import names
from orchestrator.data.images import SPLITS, DatasetCard, ImageSet
from tests.orchestrator.datasets import imagenet_miniatures, miniatures, own_files, photograph_miniatures

NAMES = names("orchestrator.datasets")
# Settings that keep the suite fast and offline; a data set that is not listed is loaded with its defaults.
SETTINGS = {
    "emoji_scenes": {"train_size": 60, "validation_size": 40, "test_size": 40},
    "fashion_scenes": {"train_size": 60, "validation_size": 40, "test_size": 40},
    "synthetic": {"train_size": 60, "validation_size": 40, "test_size": 40},
}
OWN_FILES = {
    "image_folder": lambda root: own_files.write_folder(root, masks=True),
    "parquet": lambda root: own_files.write_shard(root / "all.parquet", 12, label=[1, 2] * 6),
}
ARCHIVES = {"cifar10": CIFAR10, "cifar100": CIFAR100, "stl10": STL10}


def check_dataset(module: ModuleType, **settings: object) -> None:
    """Raises an AssertionError unless the module satisfies the contract."""
    assert issubclass(module.Config, Config), "Config must be a subclass of augment.config.Config"
    assert next(iter(module.Config.model_fields)) == "name", "the first field of Config must be `name`"
    config = module.Config(**settings)
    card = module.card(config)
    assert isinstance(card, DatasetCard), "card must return a DatasetCard"
    assert card == module.card(config), "card must be repeatable"
    assert card.licence
    assert card.fingerprint
    assert not card.train_size or card.splits[: len(SPLITS)] == SPLITS
    splits = {split: module.load(config, split) for split in card.splits}
    if card.train_size:
        assert len(splits["train"]) == card.train_size
        assert np.array_equal(splits["train"].images, splits["bank"].images) == card.bank_is_train
    for split, images in splits.items():
        _check_images(images, card, split)
        np.testing.assert_array_equal(images.images, module.load(config, split).images)
    shown = {split: {image.tobytes() for image in images.images} for split, images in splits.items() if split != "bank"}
    # Two test splits may have the same images, with different labels.
    tests = {split for split in shown if split.startswith("test/") and splits[split].accepted is not None}
    seen = [images for split, images in shown.items() if split not in tests]
    assert not any(shown["train"] & shown[split] for split in tests if card.train_size), "splits must be disjoint"
    for place, images in enumerate(seen):
        assert not any(images & others for others in seen[place + 1 :]), "splits must be disjoint"
    with pytest.raises(ValueError, match="split must be one of"):
        module.load(config, "test/nonsense")


def _check_images(images: ImageSet, card: DatasetCard, split: str) -> None:
    assert isinstance(images, ImageSet), "load must return an ImageSet"
    assert len(images) > 0
    assert images.images.shape[1:] == (card.size, card.size, 3)
    assert (images.labels is not None) == card.labelled(split)
    if images.labels is not None and card.num_classes is not None:
        assert set(images.labels) <= set(range(card.num_classes))
    if images.accepted is not None:
        assert images.accepted.shape[1] == card.num_classes
        assert images.accepted.any(axis=1).all()
    assert (images.masks is not None) == card.has_masks or split != "train"
    if images.masks is not None:
        assert 0 < images.masks.mean() < 255


def test_all_data_sets_are_found():
    assert len(NAMES) >= 7


def settings(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings of a small data set; its files, if it needs any, are written to a folder."""
    if name in ARCHIVES:
        miniatures.shrink(ARCHIVES[name], folder, monkeypatch)
        return {"root": str(folder)}
    if name in photograph_miniatures.WRITERS:
        return photograph_miniatures.write(name, folder, monkeypatch)
    if name in imagenet_miniatures.WRITERS:
        return imagenet_miniatures.write(name, folder)
    if name in OWN_FILES:
        OWN_FILES[name](folder / "images")
        return {"root": str(folder / "images"), "cache": str(folder / "cache")}
    return SETTINGS.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_data_set_keeps_the_contract(name, tmp_path, monkeypatch):
    module = importlib.import_module(f"orchestrator.datasets.{name}")
    check_dataset(module, **settings(name, tmp_path, monkeypatch))
    assert module.Config.model_fields["name"].default == name


GOOD = "from orchestrator.datasets.synthetic import Config, card, load\n"
MALFORMED = {
    "no_card": (GOOD + "del card\n", AttributeError),
    "no_load": (GOOD + "del load\n", AttributeError),
    "loose_config": (GOOD + "class Config: model_fields = {'name': None}\n", AssertionError),
    "unnamed": (
        GOOD + "from augment.config import Config as Base\nclass Config(Base): size: int = 8\n",
        AssertionError,
    ),
    "leaky": (
        GOOD + "from orchestrator.datasets import synthetic\n"
        "def load(config, split): return synthetic.load(config, 'train' if split == 'validation' else split)\n",
        AssertionError,
    ),
    "lenient": (
        GOOD + "from orchestrator.datasets import synthetic\n"
        "def load(config, split): return synthetic.load(config, split.replace('nonsense', 'original'))\n",
        pytest.fail.Exception,
    ),
    "wrong_size": (
        GOOD + "from dataclasses import replace\nfrom orchestrator.datasets import synthetic\n"
        "def card(config): return replace(synthetic.card(config), size=7)\n",
        AssertionError,
    ),
}


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Writes a module into a temporary package and imports it."""
    package = tmp_path / "planted_datasets"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def planted(name: str, source: str) -> ModuleType:
        (package / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module(f"planted_datasets.{name}")

    yield planted
    for name in [name for name in importlib.sys.modules if name.startswith("planted_datasets")]:
        del importlib.sys.modules[name]


def test_well_formed_module_is_accepted(plant):
    check_dataset(plant("good", GOOD))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_module_is_rejected(plant, name):
    source, error = MALFORMED[name]
    with pytest.raises(error):
        check_dataset(plant(name, source))
