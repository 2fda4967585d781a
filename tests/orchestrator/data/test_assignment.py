"""Names of folders and files, as data sets have them, and the splits they stand for."""

import pytest

from orchestrator.core.errors import UserError
from orchestrator.data.assignment import assign
from orchestrator.data.split_words import naming


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAINING train_0 train-00000-of-00002 train2017 trainA TrainSet partial-train",
            "train",
        ),
        ("val valid Validation VAL2017 val_0 dev eval evaluation validation-00000-of-00001 DevSet", "validation"),
        ("test Test TESTING test1 test_batch testB tests TestImages test.parquet", "test"),
    ],
)
def test_names_that_stand_for_a_split_and_nothing_else(names, split):
    for name in names.split():
        assert (naming(name).split, naming(name).whole) == (split, True), name


@pytest.mark.parametrize("name", ["cat", "contest", "valley", "testament", "devil", "strain", "part_0", "0"])
def test_names_that_stand_for_no_split(name):
    assert not naming(name).splits


@pytest.mark.parametrize("name", ["bullet_train", "test_tube", "dev board", "cifar10-test"])
def test_names_that_say_more_than_a_split(name):
    assert naming(name).split is not None
    assert not naming(name).whole


SHARDS = [
    ("train_0.parquet test_0.parquet", "train test"),
    ("default/train/0000.parquet default/test/0000.parquet", "train test"),
    ("default/partial-train/0000.parquet default/validation/0000.parquet", "train validation"),
    ("TRAIN-0.parquet Test-0.parquet", "train test"),
    ("data/train-00000-of-00002.parquet data/dev-00000-of-00001-ab12.parquet", "train validation"),
    ("Training/a.parquet TESTING/a.parquet", "train test"),
    ("mnist_test_suite/train/0.parquet mnist_test_suite/test/0.parquet", "train test"),
    ("a.parquet b.parquet", "train train"),
    ("a/0.parquet b/0.parquet", "train train"),
]
FOLDERS = [
    ("Train/cat/1 Test/cat/1", "train test", "cat cat"),
    ("TRAINING/1 VALID/1", "train validation", "- -"),
    ("train2017/1 val2017/1", "train validation", "- -"),
    ("images/train/cat/1 images/test/dog/1", "train test", "cat dog"),
    ("cat/train/1 cat/test/1 dog/train/1", "train test train", "cat cat dog"),
    ("train/train/cat/1 train/train/dog/1", "train train", "cat dog"),
    ("train/aeroplane/1 train/train/1", "train train", "aeroplane train"),
    ("train/dev/1 train/cat/1 test/dev/1", "train train test", "dev cat dev"),
    ("cifar_train/cat/1 cifar_test/cat/1", "train test", "cat cat"),
    ("bullet_train/1 acorn/1", "train train", "bullet_train acorn"),
    ("train_1.png test_1.png", "train test", "- -"),
    ("a/X_val_1 b/X_val_2", "train train", "a b"),
    ("part_0/1 part_1/1", "train train", "part_0 part_1"),
]


def of_each(files: str, *, classes: bool, **settings: object) -> tuple[list[str], list[str]]:
    found = assign(files.split(), source="ROOT", classes=classes, **settings)
    split = {name: part for part, names in found.parts.items() for name in names}
    inner = [found.inner[name.rpartition("/")[0]] for name in files.split()]
    return [split[name] for name in files.split()], [folder[0] if folder else "-" for folder in inner]


@pytest.mark.parametrize(("files", "splits"), SHARDS)
def test_split_of_each_shard(files, splits):
    assert of_each(files, classes=False)[0] == splits.split()


@pytest.mark.parametrize(("files", "splits", "classes"), FOLDERS)
def test_split_and_class_of_each_image(files, splits, classes):
    assert of_each(files, classes=True) == (splits.split(), classes.split())


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        ("train-0.parquet more.parquet", False),
        ("test-0.parquet", False),
        ("train/test-0.parquet", False),
        ("train/0.parquet 0.parquet", False),
        ("train/0.parquet dev/0.parquet eval/0.parquet", False),
        ("train_test.parquet a.parquet", False),
        ("train/cat/1 extra/dog/1", True),
        ("train/1 2", True),
        ("validation/1", True),
        ("test/1 cat/1", True),
        ("test_tube/1 acorn/1", True),
        ("train_val/1 test/1", True),
        ("train/cat/1 train/test/1", True),
        ("a/test.png a/cat.png", True),
    ],
)
def test_what_names_do_not_decide_is_refused_in_one_line(files, classes):
    with pytest.raises(UserError) as caught:
        assign(files.split(), source="ROOT", classes=classes)
    message = str(caught.value)
    assert message.startswith("ROOT: ")
    assert message.endswith(
        "set run.dataset.splits: {train: FOLDER, validation: FOLDER, test: FOLDER}, or set run.dataset.splits: none to "
        "train on all of them"
    )
    assert of_each(files, classes=classes, patterns={})[0] == ["train"] * len(files.split())


def test_setting_names_folders_and_patterns():
    patterns = {"train": ["A"], "validation": ["B/*.png"], "test": ["?/x/*", "C"]}
    files = "A/cat/1.png B/cat/1.png B/cat/2.jpg C/3.png D/x/4.png"
    found = assign(files.split(), source="ROOT", classes=True, patterns=patterns)
    assert found.parts == {"train": ["A/cat/1.png"], "validation": ["B/cat/1.png"], "test": ["C/3.png", "D/x/4.png"]}
    assert found.unused == ["B/cat/2.jpg"]
    assert found.inner["A/cat"] == ("cat",)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({"train": ["A"], "test": ["nowhere"]}, "run.dataset.splits.test = nowhere matches no file"),
        ({"train": ["*"], "test": ["B"]}, "B/1 matches several of run.dataset.splits: train: * and test: B"),
    ],
)
def test_setting_that_fits_no_file_is_refused(patterns, expected):
    with pytest.raises(UserError, match=expected.replace("*", r"\*")):
        assign(["A/1", "B/1"], source="ROOT", classes=True, patterns=patterns)
