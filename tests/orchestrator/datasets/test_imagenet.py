import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

from orchestrator.core.errors import UserError
from orchestrator.data.imagenet_classes import numbers
from orchestrator.evaluate import third_party
from tests.contracts.test_every_dataset import check_dataset
from tests.orchestrator.datasets import imagenet_miniatures
from tests.orchestrator.datasets.imagenet_miniatures import CLASSES, SIZE, wnid
from tests.orchestrator.datasets.photograph_miniatures import photograph
from tests.orchestrator.study.test_data_checks import refusal

SHIFTED = ("imagenet_a", "imagenet_r", "imagenet_real", "imagenet_sketch", "imagenet_v2", "objectnet")
ALONE = ("root", "cache", "size")


def module(name):
    return import_module(f"orchestrator.datasets.{name}")


def written(name, folder, **changes):
    return module(name).Config(**(imagenet_miniatures.write(name, folder) | changes))


def alone(name, folder):
    """Settings of a data set with nothing to train on."""
    settings = imagenet_miniatures.write(name, folder)
    kept = (*ALONE, "imagenet_val") if name == "imagenet_real" else ALONE
    return {key: value for key, value in settings.items() if key in kept}


def load_error(name, config, split=None):
    """The one-line message of the error that loading raises."""
    with pytest.raises(UserError) as caught:
        module(name).load(config, split) if split else module(name).card(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes_are_imagenets_in_order():
    [timm] = find_spec("timm").submodule_search_locations  # without importing it
    published = Path(timm, "data", "_info", "imagenet_synsets.txt").read_text().split()
    assert list(numbers()) == published
    assert list(numbers().values()) == list(range(1000))


@pytest.mark.parametrize("name", [*SHIFTED, "imagenet9"])
def test_test_alone_keeps_the_contract(tmp_path, name):
    settings = alone(name, tmp_path)
    check_dataset(module(name), **settings)
    config = module(name).Config(**settings)
    assert module(name).card(config).train_size == 0
    with pytest.raises(ValueError, match="got 'bank': there is nothing to train on"):
        module(name).load(config, "bank")


def test_sweep_on_a_test_alone_is_refused(tmp_path):
    assert refusal(tmp_path, {"run.dataset": {"name": "imagenet_v2", **alone("imagenet_v2", tmp_path)}}) == (
        "run.dataset.name = imagenet_v2: must have images to train on; as set up here it has those of a test alone, "
        "which `evaluate` takes"
    )


def shown(photograph):
    """What torchvision's transforms make of a photograph, as they are used in ImageNet's tests."""
    return np.asarray(center_crop(resize(photograph, [SIZE * 256 // 224], InterpolationMode.BICUBIC), [SIZE]))


def test_photographs_are_cut_as_classifiers_are_used_to(tmp_path):
    config = written("imagenet", tmp_path)
    file = photograph(tmp_path / "imagenet" / "val" / wnid(7) / "ILSVRC2012_val_00009999.JPEG")
    cut = shown(Image.open(file))
    images = module("imagenet").load(config, "test/original")
    assert any(np.array_equal(image, cut) for image in images.images[images.labels == 7])


@pytest.mark.parametrize(
    "name", ["resnet50", "convnext_tiny", "efficientnet_b1", "swin_t", "maxvit_t", "regnet_y_16gf", "vit_b_16"]
)
def test_photographs_are_cut_as_the_weights_of_a_model_ask_for(tmp_path, monkeypatch, name):
    weights = models.get_model_weights(name).DEFAULT
    monkeypatch.setattr(third_party.models, "get_model", lambda name, weights: nn.Sequential(nn.Linear(3, 1000)))
    encoder = third_party._torchvision(f"torchvision:{name}", None)
    file = photograph(tmp_path / "imagenet" / "val" / wnid(7) / "ILSVRC2012_val_00009999.JPEG")
    config = written("imagenet", tmp_path, **encoder.decoding)
    preset = weights.transforms()
    expected = preset(Image.open(file))
    images = module("imagenet").load(config, "test/original")
    found = encoder.prepared(torch.from_numpy(images.images[images.labels == 7]))
    errors = (found - expected).abs().amax(dim=(1, 2, 3))
    assert errors.min() < 1e-5, "the same pixels as torchvision's own preset"


def test_other_cuts_are_other_data_and_the_usual_one_is_the_data_of_before(tmp_path):
    usual, explicit = (written("imagenet", tmp_path, **more) for more in ({}, {"resize": SIZE * 256 // 224}))
    bilinear = written("imagenet", tmp_path, resize=SIZE + 2, interpolation="bilinear")
    prints = [module("imagenet").card(config).fingerprint for config in (usual, explicit, bilinear)]
    assert len(set(prints)) == 3
    with pytest.raises(ValueError, match="resize >= size must hold"):
        written("imagenet", tmp_path, resize=SIZE - 1)


def test_training_photographs_of_each_class_are_drawn_by_the_seed(tmp_path):
    shown = {}
    for seed in (0, 0, 1):
        config = written("imagenet", tmp_path, train_per_class=2, seed=seed)
        images = [module("imagenet").load(config, split) for split in ("train", "validation")]
        labels = np.concatenate([part.labels for part in images])
        assert sorted(labels) == sorted(CLASSES * 2)
        pixels = {image.tobytes() for part in images for image in part.images}
        assert len(pixels) == len(labels)
        assert shown.setdefault(seed, pixels) == pixels
        card = module("imagenet").card(config)
        assert card.train_size == len(images[0]) == 9
        assert card.remarks == ("trained on 2 photographs of each class",)
    assert shown[0] != shown[1]


def test_labels_are_the_places_of_a_classifiers_logits(tmp_path):
    images = module("imagenet_r").load(written("imagenet_r", tmp_path), "test/imagenet_r")
    assert images.labels.tolist() == [7, 7, 207, 207, 407, 407]
    card = module("imagenet_r").card(written("imagenet_r", tmp_path))
    assert (card.present, card.variants, card.remarks) == (
        (7, 207, 407),
        ("original", "imagenet_r"),
        ("6 of the 30000 published images were found",),
    )
    # Folder names of ImageNet-V2 sort as text: 10 before 2.
    images = module("imagenet_v2").load(written("imagenet_v2", tmp_path), "test/imagenet_v2")
    assert images.labels.tolist() == [10, 10, 2, 2, 999, 999]


def test_objects_lose_their_red_border_and_stand_for_several_classes(tmp_path):
    config = written("objectnet", tmp_path)
    images = module("objectnet").load(config, "test/objectnet")
    assert images.labels is None
    assert [np.flatnonzero(row).tolist() for row in images.accepted] == [[0], [0], [2, 5], [2, 5]]
    first = Image.open(tmp_path / "objectnet" / "images" / "alarm_clock" / "alarm_clock0.png")
    inner = first.crop((2, 2, first.width - 2, first.height - 2))
    assert {first.getpixel((1, 9)), first.getpixel((9, first.height - 2))} == {(255, 0, 0)}
    np.testing.assert_array_equal(images.images[0], shown(inner))
    originals = module("objectnet").load(config, "test/original")
    assert [np.flatnonzero(row).tolist() for row in originals.accepted] == [[0], [0]]
    assert module("objectnet").card(config).present == (0, 2, 5)


def test_one_photograph_may_have_several_labels_or_none(tmp_path):
    config = written("imagenet_real", tmp_path)
    images = module("imagenet_real").load(config, "test/imagenet_real")
    # By folder: 0 (photographs 1 and 6), 7 (2 and 7), 207 (3, which has no label, and 8), ...
    accepted = [np.flatnonzero(row).tolist() for row in images.accepted]
    assert accepted == [[0, 5], [1], [7], [1], [1], [0], [1], [999], [1]]
    originals = module("imagenet_real").load(config, "test/original")
    np.testing.assert_array_equal(images.images, np.delete(originals.images, 4, axis=0))
    assert module("imagenet_real").card(config).remarks[-1].endswith("because raters found no correct label: 1")


def test_labels_change_the_fingerprint(tmp_path):
    config = written("imagenet_real", tmp_path)
    before = module("imagenet_real").card(config).fingerprint
    file = tmp_path / "imagenet_real" / "real.json"
    file.write_text(file.read_text().replace("5", "6", 1))
    assert module("imagenet_real").card(config).fingerprint != before


def wrong_class_folder(root):
    (root / "goldfish").mkdir()
    return "holds goldfish, which is not the folder of a class, such as n01440764"


def stray_photograph(root):
    photograph(root / "stray.jpg")
    return "holds stray.jpg, which is not the folder of a class"


def empty_folder(root):
    (root / wnid(9)).mkdir()
    return f"{wnid(9)} holds no photographs"


def torn_photograph(root):
    (root / wnid(7) / "art_1.jpg").write_bytes(b"torn")
    return "art_1.jpg (no image in a format that Pillow knows) is unreadable; download it again"


def nothing(root):
    for file in sorted(root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    return "holds no folder of a class, such as n01440764"


@pytest.mark.parametrize("spoil", [wrong_class_folder, stray_photograph, empty_folder, torn_photograph, nothing])
def test_wrong_layout_is_refused(tmp_path, spoil):
    config = written("imagenet_a", tmp_path)
    assert spoil(tmp_path / "imagenet_a") in load_error("imagenet_a", config)


def test_missing_folders_are_refused(tmp_path):
    config = written("imagenet_a", tmp_path, imagenet_val=str(tmp_path / "nowhere"))
    assert f"{tmp_path / 'nowhere'} does not exist; it must hold one folder of photographs per class" in load_error(
        "imagenet_a", config
    )
    config = written("imagenet_real", tmp_path, imagenet_val=None)
    law = "ReaL has only labels; set run.dataset.imagenet_val to the folder of the photographs"
    assert law in load_error("imagenet_real", config)


@pytest.mark.parametrize(
    ("content", "law"),
    [
        ("[[1], [2", "must be the published list of labels, but cannot be read (JSONDecodeError: "),
        ('{"0": [1]}', "must hold a list of lists of labels"),
        ("[[1], [1000]]", "every label must be a number from 0 to 999"),
        ("[[1]]", "must be ILSVRC2012_val_ and a number from 00000001 to 00000001"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, content, law):
    config = written("imagenet_real", tmp_path)
    (tmp_path / "imagenet_real" / "real.json").write_text(content)
    assert law in load_error("imagenet_real", config)


@pytest.mark.parametrize("name", ["folder_to_objectnet_label.json", "imagenet_to_label_2012_v2"])
def test_missing_mappings_are_refused(tmp_path, name):
    config = written("objectnet", tmp_path)
    (tmp_path / "objectnet" / "mappings" / name).unlink()
    assert "does not hold ObjectNet's mappings as published (FileNotFoundError" in load_error("objectnet", config)


def test_mappings_that_do_not_fit_are_refused(tmp_path):
    config = written("objectnet", tmp_path)
    file = tmp_path / "objectnet" / "mappings" / "objectnet_to_imagenet_1k.json"
    file.write_text(json.dumps({"Alarm clock": "no class of any line"}))
    assert "mappings as published (KeyError: 'no class of any line')" in load_error("objectnet", config)
