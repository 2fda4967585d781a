import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.core.errors import UserError
from orchestrator.data.decoding import square
from orchestrator.data.prefetch import decoded
from orchestrator.datasets import image_folder, parquet
from tests.orchestrator.datasets.own_files import disc, encoded, picture, write, write_shard
from tests.orchestrator.storage.s3_server import s3_server

SIZE = 8


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "shards"


def settings(root: Path, **changes: object) -> parquet.Config:
    return parquet.Config(root=str(root), **{"size": SIZE, "cache": str(root.parent / "cache"), **changes})


def squares(seeds) -> np.ndarray:
    return np.stack([square(encoded(picture(seed)), None, SIZE).image for seed in seeds])


@pytest.mark.parametrize("struct", [False, True], ids=["bytes", "struct of bytes and path"])
@pytest.mark.parametrize("layout", ["train/{}.parquet", "data/train-{}-of-2.parquet"], ids=["folders", "names"])
def test_splits_are_their_shards_in_order(root, layout, struct):
    place = layout.partition("/")[0] if "data" in layout else ""
    for number in (0, 1):
        write_shard(root / layout.format(number), 6, seed=6 * number, struct=struct, label=[7, 3, 5, 7, 3, 5])
    write_shard(root / layout.format(0).replace("train", "test"), 3, seed=50, struct=struct, label=[5, 5, 7])
    config = settings(root / place)
    card = parquet.card(config)
    assert (card.num_classes, card.variants) == (3, ("original",))
    splits = [parquet.load(config, split) for split in ("train", "validation")]
    assert [len(split) for split in splits] == [11, 1] == [card.train_size, 1]
    found = {
        image.tobytes(): label for split in splits for image, label in zip(split.images, split.labels, strict=True)
    }
    expected = zip(squares(range(12)), [2, 0, 1, 2, 0, 1] * 2, strict=True)  # 3, 5 and 7 in order
    assert found == {image.tobytes(): label for image, label in expected}
    test = parquet.load(config, "test/original")
    np.testing.assert_array_equal(test.images, squares(range(50, 53)))
    assert test.labels.tolist() == [1, 1, 2]


def test_single_file_with_text_labels_and_masks(root):
    masks = [encoded(disc()), None] * 4
    file = write_shard(root / "all.parquet", 8, label=["dog", "cat"] * 4, mask=masks)
    config = settings(file)
    images = parquet.load(config, "train")
    places = [[image.tobytes() for image in squares(range(8))].index(image.tobytes()) for image in images.images]
    assert images.labels.tolist() == [1 - place % 2 for place in places]
    assert (images.masks.max(axis=(1, 2)) > 0).tolist() == [place % 2 == 0 for place in places]
    remark, few = parquet.card(config).remarks
    assert remark.startswith("4 of 8 images have no usable mask: all.parquet row 1 (missing), all.parquet row 3 (")
    assert few.startswith("validation has 1 image, too few to compare trials by")


def test_rows_without_an_image_are_left_out_by_name(root):
    images = [{"bytes": encoded(picture(row)), "path": None} for row in range(8)]
    images[2] = {"bytes": None, "path": "elsewhere.jpg"}
    images[5] = None
    write_shard(root / "a.parquet", 8, image=images)
    remark, _ = parquet.card(settings(root, max_bad_share=0.5)).remarks
    assert "a.parquet row 2 (nothing there to be read), a.parquet row 5 (nothing" in remark
    assert parquet.load(settings(root, max_bad_share=0.5), "train").labels is None


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": ["a.jpg"] * 4}, "the column image must hold the bytes of image files, not string"),
        ({"mask": [1.0] * 4}, "the column mask must hold the bytes of image files, not double"),
        ({"label": [0.5] * 4}, "the column label must hold whole numbers or text, not double"),
        (
            {"label": [0, 1, None, 1]},
            "all images of train or none must have labels, but 1 of 4 have none; null and -1 in the column label mean",
        ),
    ],
)
def test_wrong_column_is_refused_in_one_sentence(root, columns, expected):
    write_shard(root / "a.parquet", 4, **columns)
    with pytest.raises(UserError) as caught:
        parquet.card(settings(root))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_refused_in_one_sentence(root):
    def refusal() -> str:
        with pytest.raises(UserError) as caught:
            parquet.card(settings(root))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no such file or folder" in refusal()
    root.mkdir()
    assert "holds no Parquet files (*.parquet)" in refusal()
    pa.parquet.write_table(pa.table({"picture": [b"", b""], "label": [0, 1]}), root / "train-0.parquet")
    assert "has no column image; its columns are picture, label" in refusal()
    write_shard(root / "train-0.parquet", 0, image=pa.array([], pa.binary()))
    assert "train has no images: its Parquet files hold no rows" in refusal()
    whole = write_shard(root / "train-0.parquet", 4).read_bytes()
    write_shard(root / "more.parquet", 4)
    assert "train-0.parquet names train, and more.parquet no split; set run.dataset.splits: {train:" in refusal()
    (root / "more.parquet").unlink()
    write(root / "train-0.parquet", whole[:-50])
    assert "train-0.parquet cannot be read as Parquet: " in refusal()
    write(root / "train-0.parquet", whole[:4] + b"\xff" * 600 + whole[604:])
    assert "train-0.parquet is damaged: " in refusal()


def test_streamed_set_holds_a_sample_of_each_split_but_all_of_test(root):
    for part, counts in {"train": (10, 10), "validation": (9,), "test": (7,)}.items():
        for number, count in enumerate(counts):
            write_shard(
                root / part / f"{number}.parquet",
                count,
                seed=len(part) * 100 + 10 * number,
                label=[0, 1] * 3 + [1] * (count - 6),
            )
    config = settings(root, stream={"buffer": 4, "sample": 6})
    card, whole = parquet.card(config), parquet.card(settings(root))
    assert (card.train_size, card.bank_is_train, card.variants) == (20, True, whole.variants)
    splits = {split: parquet.load(config, split) for split in card.splits}
    assert {split: len(images) for split, images in splits.items()} == {
        "train": 6, "bank": 6, "validation": 6, "test/original": 7
    }  # fmt: skip
    stream = parquet.stream(config)
    everything = parquet.load(settings(root), "train")
    np.testing.assert_array_equal(splits["train"].images, everything.images[stream.sample])
    np.testing.assert_array_equal(stream.labels, everything.labels)
    np.testing.assert_allclose(card.mean, splits["train"].images.mean((0, 1, 2)) / 255)
    assert parquet.stream(settings(root)) is None


def test_held_out_images_are_the_same_streamed_or_not(root):
    write_shard(root / "a.parquet", 40)
    config = settings(root, validation_share=0.25, stream={"sample": 40})
    for split in ("train", "validation"):
        plain = parquet.load(settings(root, validation_share=0.25), split)
        np.testing.assert_array_equal(parquet.load(config, split).images, plain.images)
    assert len(parquet.stream(config).groups) == 30


def test_fingerprint_of_a_stream_follows_its_files_but_not_their_place(root):
    def found(place: Path) -> str:
        return parquet.card(settings(place, stream={"buffer": 4, "sample": 2})).fingerprint

    write_shard(root / "a.parquet", 40, label=[0, 1] * 20)
    copies = [Path(shutil.copytree(root, root.parent / name)) for name in ("same", "label", "image", "order")]
    write_shard(copies[1] / "a.parquet", 40, label=[0, 1] * 19 + [1, 1])
    write_shard(
        copies[2] / "a.parquet",
        40,
        label=[0, 1] * 20,
        image=[encoded(picture(row + (row == 9), 20, 15 + (row == 9))) for row in range(40)],
    )
    (copies[3] / "a.parquet").rename(copies[3] / "b.parquet")
    same, label, image, renamed = map(found, copies)
    assert found(root) == same == renamed
    assert len({same, label, image}) == 3


def test_row_group_beyond_the_buffer_is_refused(root):
    write_shard(root / "a.parquet", 8)
    with pytest.raises(
        UserError, match=r"a\.parquet: row group 0 has 4 rows, and run\.dataset\.stream\.buffer = 3 must"
    ):
        parquet.card(settings(root, stream={"buffer": 3}))


def test_files_may_lie_in_an_object_store(root):
    for part, count in (("train", 12), ("validation", 3)):
        write_shard(root / part / "0.parquet", count, seed=len(part), label=[0, 1, 1] * (count // 3))
    with s3_server() as server:
        for file in root.rglob("*.parquet"):
            server.client().upload_file(str(file), "sweeps", f"images/{file.relative_to(root)}")
        config = settings(root, stream={"buffer": 4, "sample": 5})
        remote = config.model_copy(update={"root": parquet.Config(root=server.uri("sweeps/images")).root})
        assert parquet.card(remote) == parquet.card(config)
        np.testing.assert_array_equal(parquet.load(remote, "train").images, parquet.load(config, "train").images)
        streams = [pickle.loads(pickle.dumps(parquet.stream(one))) for one in (remote, config)]
        batches = [
            next(decoded(one.groups, [np.arange(12)], size=SIZE, masked=False, buffer=4, threads=1)) for one in streams
        ]
        np.testing.assert_array_equal(batches[0].images, batches[1].images)
        nothing = settings(root).model_copy(update={"root": server.uri("sweeps/nothing")})
        with pytest.raises(UserError, match=r"s3://sweeps/nothing.*holds no Parquet files"):
            parquet.card(nothing)
        with pytest.raises(UserError, match="images must lie in a folder"):
            image_folder.card(image_folder.Config(root=nothing.root))
