import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.core.errors import UserError
from orchestrator.data.decoding import Unreadable, square
from orchestrator.datasets import image_folder
from tests.orchestrator.datasets.own_files import (
    SIZE,
    disc,
    encoded,
    look_again,
    picture,
    settings,
    write,
    write_folder,
)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "images"


def files_behind(images, root: Path) -> list[str]:
    """Which file each image was decoded from."""
    known = {}
    for file in root.rglob("*.png"):
        with suppress(Unreadable):
            known[square(file.read_bytes(), None, SIZE).image.tobytes()] = file
    return [str(known[image.tobytes()].relative_to(root)) for image in images.images]


def test_splits_are_their_folders_with_classes_in_sorted_order(root):
    config = settings(write_folder(root))
    card = image_folder.card(config)
    assert (card.num_classes, card.train_size, card.size, card.variants) == (2, 11, SIZE, ("original",))
    for split, part in [("train", "train"), ("bank", "train"), ("validation", "validation"), ("test/original", "test")]:
        images = image_folder.load(config, split)
        files = files_behind(images, root)
        assert files == sorted(str(file.relative_to(root)) for file in (root / part).rglob("*.png"))
        assert images.labels.tolist() == [["cat", "dog"].index(file.split("/")[1]) for file in files]
        assert images.masks is None


def test_folder_without_parts_holds_out_a_seeded_share(root):
    write_folder(root, {"a": 12, "b/deep": 8})
    config = settings(root, validation_share=0.25)
    train, validation = image_folder.load(config, "train"), image_folder.load(config, "validation")
    assert (len(train), len(validation), image_folder.card(config).train_size) == (15, 5, 15)
    assert image_folder.card(config).variants == ()
    files = files_behind(train, root) + files_behind(validation, root)
    assert sorted(files) == sorted(str(file.relative_to(root)) for file in root.rglob("*.png"))
    assert train.labels.tolist() == [int(file.startswith("b")) for file in files[:15]]
    other = config.model_copy(update={"seed": 1})
    assert files_behind(image_folder.load(other, "validation"), root) != files[15:]
    assert image_folder.card(other).fingerprint != image_folder.card(config).fingerprint


@pytest.mark.parametrize("counts", [{"": 6}, {"train": 6}, {"train/everything": 6}])
def test_images_in_no_class_or_a_single_one_have_no_labels(root, counts):
    config = settings(write_folder(root, counts))
    assert image_folder.card(config).num_classes is None
    assert image_folder.load(config, "train").labels is None


def test_card_has_the_moments_of_the_training_images(root):
    config = settings(write_folder(root))
    images, card = image_folder.load(config, "train").images / 255, image_folder.card(config)
    np.testing.assert_allclose(card.mean, images.mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(card.std, images.std((0, 1, 2)), atol=1e-12)
    flat = write_folder(root.parent / "flat", {})
    for name in "abc":
        write(flat / f"{name}.png", Image.new("RGB", (9, 9), (10, 20, 30)))
    assert min(image_folder.card(settings(flat)).std) > 0


def test_masks_lie_beside_their_images_and_those_that_cannot_be_used_are_named(root, capsys):
    write_folder(root, masks=True)
    (root / "masks/train/cat/0.png").unlink()
    write(root / "masks/train/cat/3.png", b"torn")
    write(root / "masks/train/dog/1.png", disc(7, 7))
    write(root / "masks/validation/dog/0.png", disc(7, 7))
    config = settings(root)
    images = image_folder.load(config, "train")
    expected = square(encoded(picture(1)), encoded(disc()), SIZE).mask
    usable = [place for place in range(11) if place not in (0, 3, 7)]
    assert (images.masks[[0, 3, 7]] == 0).all()
    assert (images.masks[usable] == expected).all()
    remark = (
        "4 of 18 images have no usable mask: train/cat/0.png (missing), "
        "train/cat/3.png (no image in a format that Pillow knows), "
        "train/dog/1.png (of 7 x 7 pixels, its image of 20 x 16), ..."
    )
    assert image_folder.card(config).remarks[0] == remark
    assert f"warning: {root}: {remark}\n" in capsys.readouterr().err


def test_unreadable_image_is_named_counted_and_left_out(root, capsys):
    write_folder(root, {"train/a": 10, "train/b": 10})
    file = root / "train/b/3.png"
    file.write_bytes(file.read_bytes()[:100])
    (root / "train/a/2.png").write_bytes(b"")
    config = settings(root, max_bad_share=0.1)
    with_all = [str(file.relative_to(root)) for file in sorted(root.rglob("*.png"))]
    splits = [image_folder.load(config, split) for split in ("train", "validation")]
    files = [name for split in splits for name in files_behind(split, root)]
    assert sorted(files) == sorted(set(with_all) - {"train/b/3.png", "train/a/2.png"})
    assert [int("/b/" in name) for name in files] == [label for split in splits for label in split.labels]
    remark, _ = image_folder.card(config).remarks
    assert remark.startswith(
        "2 unreadable images are left out: train/a/2.png (nothing there to be read), train/b/3.png ("
    )
    assert capsys.readouterr().err.count("warning: ") == 2
    strict = settings(root, max_bad_share=0.09)
    with pytest.raises(UserError, match=r"train/a/2.png .* 2 of 20 left out must be at most .*max_bad_share = 0.09"):
        image_folder.card(strict)


def test_fingerprint_stands_for_content_and_settings_and_not_for_places_and_times(root, tmp_path):
    config = settings(write_folder(root))
    fingerprint = image_folder.card(config).fingerprint
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    os.utime(moved / "train/cat/0.png", (0, 0))
    assert image_folder.card(settings(moved)).fingerprint == fingerprint
    assert image_folder.card(settings(moved, size=9)).fingerprint != fingerprint
    (moved / "train/cat/5.png").rename(moved / "train/dog/5.png")
    look_again()
    assert image_folder.card(settings(moved)).fingerprint != fingerprint


def test_relative_root_begins_where_the_file_was_read(root, monkeypatch):
    write_folder(root)
    monkeypatch.chdir(root.parent)
    config = image_folder.Config(root=root.name, cache="cache", size=SIZE)
    assert (config.root, config.cache) == (str(root), str(root.parent / "cache"))
    monkeypatch.setenv("HOME", str(root.parent))
    at_home = image_folder.Config(root=f"~/{root.name}", cache="~/cache", size=SIZE)
    monkeypatch.chdir("/")
    assert at_home.root == f"~/{root.name}"
    assert image_folder.card(at_home) == image_folder.card(config)


SPOILT = {
    "missing": lambda root: None,
    "file": lambda root: write(root, picture(0)),
    "empty": lambda root: root.mkdir(),
    "no images": lambda root: write(root / "train/notes.txt", b"notes"),
    "no train": lambda root: write_folder(root, {"validation": 2}),
    "unknown part": lambda root: write_folder(root, {"train": 3, "extra": 2}),
    "stray image": lambda root: write_folder(root, {"train": 3, "": 1}),
    "empty part": lambda root: (write_folder(root, {"train": 3}) / "test").mkdir(),
    "mixed labels": lambda root: write_folder(root, {"train/a": 3, "train": 2, "train/b": 1}),
    "unknown class": lambda root: write_folder(root, {"train/a": 3, "train/b": 1, "test/c": 1}),
    "foreign masks": lambda root: write_folder(root, {"train": 3, "masks": 3}),
    "one image": lambda root: write_folder(root, {"": 1}),
    "all unreadable": lambda root: write(root / "a.jpg", b"a"),
}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("missing", "run.dataset.root = ROOT: there is no such file or folder"),
        ("file", "run.dataset.root = ROOT: it is a file; name the folder that holds the images"),
        ("empty", "ROOT holds no images"),
        ("no images", "ROOT holds no images (ignored: 1 .txt file (train/notes.txt))"),
        ("no train", "ROOT: validation/0.png belongs to validation by its name, and no file to train; set run"),
        (
            "unknown part",
            "ROOT: cannot tell the splits: train names train, and extra no split; set run.dataset.splits: {",
        ),
        ("stray image", "ROOT: cannot tell the splits: train names train, and the folder itself no split; set run.da"),
        ("empty part", "ROOT/test holds no images"),
        ("mixed labels", "ROOT: all images of train or none must have labels, but 2 of 6 have none; put them into"),
        ("unknown class", "ROOT: test has images of class c, and train has none of it"),
        ("foreign masks", "ROOT/masks fits no image: the mask of train/0.png must be masks/train/0.png"),
        ("one image", "ROOT: train has 1 images that can be read, too few"),
        (
            "all unreadable",
            "ROOT: 1 unreadable image is left out: a.jpg (no image in a format that Pillow knows); 1 of",
        ),
    ],
)
def test_wrong_folder_is_refused_in_one_sentence(root, case, expected):
    SPOILT[case](root)
    with pytest.raises(UserError) as caught:
        image_folder.card(settings(root))
    assert expected.replace("ROOT", str(root)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_not_seen(root):
    write_folder(root, {"a": 3, "b": 3, ".hidden": 2})
    for name in ("a/.DS_Store", "a/._0.png", "README.md", "b/Thumbs.db"):
        write(root / name, b"anything")
    assert len(image_folder.load(settings(root), "train")) == 5
