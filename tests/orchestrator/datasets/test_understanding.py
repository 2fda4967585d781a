"""What is understood of the user's files is said before anything is decoded, and what cannot be is refused."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet as pq

from orchestrator.core.errors import UserError
from orchestrator.datasets import image_folder, parquet
from tests.orchestrator.datasets.own_files import (
    SIZE,
    disc,
    encoded,
    look_again,
    picture,
    settings,
    write,
    write_folder,
    write_shard,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about metadata


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "images"


def shards(root: Path, **changes: object) -> parquet.Config:
    return parquet.Config(root=str(root), **{"size": SIZE, "cache": str(root.parent / "cache"), **changes})


def notes(capsys, root: Path) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix(f"note: {root}: ") for line in lines if line.startswith("note: ")]


def test_splits_are_understood_in_capitals_and_said(root, capsys):
    write_folder(root, {"Train/cat": 4, "Train/dog": 4, "Testing/dog": 2})
    card = image_folder.card(settings(root))
    assert (card.num_classes, card.train_size, card.variants) == (2, 7, ("original",))
    assert notes(capsys, root) == [
        "8 images in train, 2 in test by the names of folders; 2 classes from folder names: cat, dog",
        "1 of the images in train are held out as validation",
    ]


def test_masks_follow_their_images_whatever_the_splits_are_called(root):
    write_folder(root, {"Train/cat": 4, "Train/dog": 4, "VAL/cat": 2}, masks=True)
    for split in ("train", "validation"):
        masks = image_folder.load(settings(root), split).masks
        assert masks is not None
        assert masks.any(axis=(1, 2)).all()


def test_files_by_setting(root, capsys):
    write_folder(root, {"A/cat": 4, "A/dog": 4, "B/dog": 2, "C/cat": 1})
    config = settings(root, splits={"train": "A", "test": ["B/*"]})
    card = image_folder.card(config)
    assert (card.num_classes, card.variants, len(image_folder.load(config, "test/original"))) == (2, ("original",), 2)
    remarks = notes(capsys, root)
    assert remarks[0].startswith("8 images in train, 2 in test by run.dataset.splits; 2 classes")
    assert remarks[1] == "ignored: 1 image that run.dataset.splits does not name (C/cat/0.png)"
    assert image_folder.card(settings(root, splits="none")).variants == ()


def test_labels_can_be_switched_off(root, capsys):
    write_folder(root, {"part_0": 4, "part_1": 4})
    assert image_folder.card(settings(root)).num_classes == 2
    assert "2 classes from folder names: part_0, part_1" in notes(capsys, root)[0]
    without = settings(root, labels="none")
    assert image_folder.card(without).num_classes is None
    assert image_folder.load(without, "train").labels is None
    assert "no labels: run.dataset.labels is none" in notes(capsys, root)[0]


def test_class_without_images_a_single_class_and_other_files_are_said(root, capsys):
    write_folder(root, {"train/cat": 4, "test/cat": 2})
    (root / "train/dog").mkdir()
    write(root / "train/cat/notes.txt", b"")
    write(root / "photo.heic", b"\0\0\0\x18ftypheic")
    os.mkfifo(root / "train/cat/pipe.png")
    assert image_folder.card(settings(root)).num_classes is None
    remarks = notes(capsys, root)
    assert remarks[0].endswith("no labels: all images lie in one folder, cat")
    assert remarks[1] == "1 folders without images are no classes: train/dog"
    assert "1 .heic file (photo.heic)" in remarks[2]
    assert "1 .txt file (train/cat/notes.txt)" in remarks[2]
    assert "1 named pipe (train/cat/pipe.png)" in remarks[2]


def test_test_images_without_labels_are_a_split_without_labels(root, capsys):
    write_folder(root, {"train/cat": 4, "train/dog": 4, "test": 2})
    config = settings(root)
    card = image_folder.card(config)
    assert (card.num_classes, card.unlabelled, card.labelled("test/original")) == (2, ("test/original",), False)
    assert image_folder.load(config, "test/original").labels is None
    assert image_folder.load(config, "train").labels is not None
    assert notes(capsys, root)[0].endswith("cat, dog; no labels in test")


def test_all_formats_are_read(root):
    for kind, ending in [("JPEG", "jfif"), ("AVIF", "avif"), ("JPEG2000", "jp2"), ("PNG", ""), ("TIFF", "img")]:
        write(root / f"{kind}.{ending}".rstrip("."), encoded(picture(0), kind))
    assert len(image_folder.load(settings(root), "train")) == 4


def test_link_upwards_adds_no_image(root):
    write_folder(root, {"a": 3, "b": 3})
    (root / "a/up").symlink_to("../..")
    (root / "b/here").symlink_to("..")
    assert image_folder.card(settings(root)).train_size == 5


def test_folders_of_images_and_masks_side_by_side_are_refused(root):
    write_folder(root, {"train/images": 3, "train/masks": 3})
    with pytest.raises(UserError, match=r"train/masks lies next to a folder of images: the mask of FOLDER/1\.jpg must"):
        image_folder.card(settings(root))


def test_masks_of_zero_and_one_are_read_and_said(root):
    write_folder(root, {"a": 3, "b": 3})
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write(root / f"masks/{name}.png", Image.fromarray(np.asarray(disc()) // 255))
    card = image_folder.card(settings(root))
    assert card.has_masks
    assert "6 masks hold 0 and 1 only: 1 is read as foreground" in card.remarks
    before = card.fingerprint
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write(root / f"masks/{name}.png", Image.fromarray(np.asarray(disc()) // 100))
    look_again()
    card = image_folder.card(settings(root))
    assert not card.has_masks
    assert "its largest value is 2" in card.remarks[0]
    assert card.fingerprint != before


def test_range_of_sixteen_bits_and_a_small_validation_part_are_said(root):
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 4096, (16, 20)).astype(np.uint16)
        write(root / f"{number}.png", encoded(Image.fromarray(values)))
    dark, few = image_folder.card(settings(root)).remarks
    assert dark.startswith("4 images have 16 bits per channel and values of 0 to 40")
    assert "(12 bits), so they look dark" in dark
    assert few == "validation has 1 image, too few to compare trials by: an accuracy moves in steps of 100 points"


def test_large_image_is_left_out_by_a_setting(root):
    write_folder(root, {"": 4})
    write(root / "large.png", picture(9, 40, 40))
    card = image_folder.card(settings(root, max_pixels=1599, max_bad_share=0.5))
    assert "large.png (40 x 40 pixels, more than run.dataset.max_pixels = 1599: raise it" in card.remarks[0]
    assert image_folder.card(settings(root, max_pixels=1600)).train_size == 4


def test_new_settings_are_written_only_where_they_are_used(root):
    plain, used = settings(root).model_dump(), settings(root, labels="none", max_pixels=7, splits="none").model_dump()
    assert not {"labels", "splits", "max_pixels"} & set(plain)
    assert {"labels": "none", "splits": "none", "max_pixels": 7}.items() <= used.items()
    assert image_folder.Config.model_validate(used).model_dump() == used


@pytest.mark.parametrize("layout", ["{}_0.parquet", "default/{}/0000.parquet", "data/{}-00000-of-00001.PARQUET"])
@pytest.mark.parametrize("test", ["test", "TEST"])
def test_test_rows_are_never_trained_on(root, capsys, layout, test):
    write_shard(root / layout.format("train"), 6, label=[0, 1] * 3)
    write_shard(root / layout.format(test), 4, seed=50, label=[0, 1] * 2)
    card = parquet.card(shards(root))
    assert (card.train_size, card.variants) == (5, ("original",))
    assert notes(capsys, root)[0].startswith("6 images in train, 4 in test by the names of f")


def test_shards_behind_a_link_are_read_and_litter_is_not(root, tmp_path, capsys):
    write_shard(tmp_path / "elsewhere/0.parquet", 4, label=[0, 1] * 2)
    write_shard(root / "test/0.parquet", 4, label=[0, 1] * 2)
    (root / "train").symlink_to(tmp_path / "elsewhere")
    write(root / "test/._0.parquet", b"litter")
    write(root / "README.md", b"")
    assert parquet.card(shards(root)).train_size == 3
    assert "ignored: 1 .md file (README.md), 1 hidden or made by the system (test/._0.parquet)" in notes(capsys, root)


def test_labels_of_minus_one_are_no_labels(root, capsys):
    write_shard(root / "train.parquet", 6, label=[3, 5] * 3)
    write_shard(root / "test.parquet", 4, label=[-1] * 4)
    config = shards(root)
    card = parquet.card(config)
    assert (card.num_classes, card.unlabelled) == (2, ("test/original",))
    assert parquet.load(config, "test/original").labels is None
    assert notes(capsys, root)[0].endswith("2 classes from the column label: 3, 5; no labels in test")
    streamed = shards(root, stream={"buffer": 4, "sample": 4})
    assert parquet.card(streamed).unlabelled == ("test/original",)


def test_column_of_labels_by_setting(root, capsys):
    write_shard(root / "a.parquet", 6, fine=[0, 1, 2] * 2, coarse=["x", "y"] * 3)
    assert parquet.card(shards(root)).num_classes is None
    assert "no labels: there is no column label; name one in run.dataset.labels: fine, coarse" in notes(capsys, root)[0]
    assert parquet.card(shards(root, labels="fine")).num_classes == 3
    assert parquet.card(shards(root, labels="coarse")).num_classes == 2
    with pytest.raises(UserError, match=r"run\.dataset\.labels = other: .*columns are image, fine, coarse"):
        parquet.card(shards(root, labels="other"))


def test_shards_whose_labels_differ_are_refused(root):
    write_shard(root / "a.parquet", 4, label=[0, 1] * 2)
    write_shard(root / "b.parquet", 4, label=["0", "1"] * 2)
    with pytest.raises(UserError, match=r"a\.parquet and .*b\.parquet: .* label hold differently, whole num"):
        parquet.card(shards(root))
    assert parquet.card(shards(root, labels="none")).train_size == 7


def test_shards_that_name_their_classes_differently_are_refused(root):
    for file, names in (("a", '["cat", "dog"]'), ("b", '["dog", "cat"]')):
        features = f'{{"info": {{"features": {{"label": {{"names": {names}}}}}}}}}'
        table = pa.table({"image": [encoded(picture(row)) for row in range(4)], "label": [0, 1, 0, 1]})
        write(root / f"{file}.parquet", b"")
        pq.write_table(table.replace_schema_metadata({"huggingface": features}), root / f"{file}.parquet")
    with pytest.raises(UserError, match=r"name the classes differently, cat, dog and dog, cat"):
        parquet.card(shards(root))


@pytest.mark.parametrize("column", ["label", "image", "mask"])
def test_two_columns_of_one_name_are_refused(root, column):
    images = pa.array([encoded(picture(row)) for row in range(4)])
    columns = {"image": images, "label": pa.array([0, 1] * 2), "mask": images}
    arrays, names = [*columns.values(), columns[column]], [*columns, column]
    write(root / "a.parquet", b"")
    pq.write_table(pa.Table.from_arrays(arrays, names=names), root / "a.parquet")
    with pytest.raises(UserError, match=rf"a\.parquet has 2 columns {column}; write it with one") as caught:
        parquet.card(shards(root))
    assert "\n" not in str(caught.value)
