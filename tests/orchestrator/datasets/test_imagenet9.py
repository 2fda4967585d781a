import numpy as np
import pytest
from PIL import Image

from orchestrator.data.imagenet_classes import IMAGENET9, to_imagenet9
from orchestrator.datasets import imagenet9
from tests.orchestrator.datasets.imagenet_miniatures import FOLDERS
from tests.orchestrator.datasets.test_imagenet import load_error, written


def test_coarse_classes_are_as_many_as_were_published():
    coarse = to_imagenet9()
    assert [(coarse == number).sum() for number in range(-1, 9)] == [630, 116, 52, 42, 36, 35, 27, 26, 20, 16]


@pytest.mark.parametrize(
    ("wanted", "classes"),
    # By torchvision's category names: tench, cock, whippet, Labrador, tabby, tiger, quail, ant, ambulance, golfcart,
    # half track, banjo, gorilla, turtle, toilet tissue.
    [
        ("fish", 0),
        ("bird", 7),
        (None, 172),
        ("dog", 208),
        (None, 281),
        ("carnivore", 292),
        (None, 85),
        ("insect", 310),
        ("vehicle", 407),
        (None, 575),
        ("vehicle", 586),
        ("instrument", 420),
        ("primate", 366),
        ("reptile", 35),
        (None, 999),
    ],
)
def test_coarse_class_of_a_fine_one(wanted, classes):
    assert to_imagenet9()[classes] == (IMAGENET9.index(wanted) if wanted else -1)


def test_classes_of_imagenet9_are_read_from_the_digits_of_their_folders(tmp_path):
    config = written("imagenet9", tmp_path)
    assert imagenet9.load(config, "test/original").labels.tolist() == [number for number in range(9) for _ in range(2)]
    images = imagenet9.load(config, "test/mixed_rand")
    assert images.labels.tolist() == list(range(9))
    assert images.masks is None
    card = imagenet9.card(config)
    assert (card.train_size, card.remarks) == (24, ("9 of the 4050 published images were found",))
    held_out = imagenet9.load(config, "validation")
    assert len(held_out) == 3


def test_masks_lie_on_their_originals(tmp_path):
    config = written("imagenet9", tmp_path, size=18)
    masks = imagenet9.load(config, "test/original").masks
    # 18 rows by 24 columns: the middle 18 columns are kept, so columns 6 to 12 become 3 to 9.
    expected = np.zeros((2, 18, 18), np.uint8)
    expected[0, 4:14, 3:9], expected[1, 4:14, 3:10] = 255, 255
    np.testing.assert_array_equal(masks[:2], expected)


BROKEN_MASKS = {
    "torn": (b"\x93NUMPY torn", "is not a readable mask ("),
    "missing": (None, "is not a readable mask (FileNotFoundError: "),
    "grey": (np.full((18, 24), 7, np.uint8), "must hold an array (height, width) of 0 and 1, got uint8 (18, 24)"),
    "colours": (np.ones((18, 24, 3), np.uint8), "must hold an array (height, width) of 0 and 1, got uint8 (18, 24, 3)"),
    "small": (np.ones((4, 4), bool), "(of 4 x 4 pixels, its image of 24 x 18) cannot be used: unpack the release"),
    "empty": (np.zeros((18, 24), bool), "(empty: no pixel of 128 or more, its largest value is 0) cannot be used"),
    "pickled": (np.array([{}], object), "is not a readable mask (ValueError: Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("kind", BROKEN_MASKS)
def test_broken_mask_is_refused(tmp_path, kind):
    config = written("imagenet9", tmp_path)
    file = tmp_path / "imagenet9" / "fg_mask" / "val" / FOLDERS[3] / "original_1.npy"
    content, law = BROKEN_MASKS[kind]
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.save(file, content, allow_pickle=True)
    message = load_error("imagenet9", config, "test/original")
    assert law in message
    assert f"{FOLDERS[3]}/original_1" in message


def test_missing_variant_is_refused(tmp_path):
    config = written("imagenet9", tmp_path)
    (tmp_path / "imagenet9" / "only_bg_t").rename(tmp_path / "elsewhere")
    message = load_error("imagenet9", config)
    assert "only_bg_t/val must hold the nine folders 00_dog, 01_bird, 02_vehicle" in message
    assert message.endswith("as in the release; found no folders")


def test_missing_class_folder_is_refused(tmp_path):
    config = written("imagenet9", tmp_path)
    folder = tmp_path / "in9l" / "train" / FOLDERS[8]
    folder.rename(tmp_path / "elsewhere")
    assert load_error("imagenet9", config, "train").endswith("06_musical instrument, 07_primate")


def test_published_sizes_are_cut_without_a_margin(tmp_path):
    # ImageNet-9 ships its images ready, while of ImageNet's the middle is shown.
    config = written("imagenet9", tmp_path, size=18)
    image = imagenet9.load(config, "test/original").images[0]
    whole = np.asarray(Image.open(tmp_path / "imagenet9" / "original" / "val" / FOLDERS[0] / "original_0.JPEG"))
    np.testing.assert_array_equal(image, whole[:, 3:21])
