"""Parquet files as `parquet` gets them: every row is used, or an error in one line says why not."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet as pq

from orchestrator.core.errors import UserError
from orchestrator.data import own_images
from orchestrator.data.split_words import naming
from orchestrator.datasets import parquet
from tests.fuzz.limits import require_one_line
from tests.fuzz.pictures import damaged_images, sound_images

_NAMED = "train_0 test_0 train-00000-of-00002 TRAIN Test-1 default/train/0000 default/test/0000 default/partial-train/0"
_MORE = "train/0 val/0 dev/0 a b ._train test/train train.parquet/part-0"
FILES = st.sampled_from([*(f"{name}.parquet" for name in f"{_NAMED} {_MORE}".split()), "UPPER.PARQUET", "x/a.pq"])
BYTES = st.one_of(sound_images().map(lambda made: made[1]), damaged_images().map(lambda made: made[1]), st.none())
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = (pa.binary(), pa.large_binary(), STRUCT, pa.binary_view(), pa.string(), pa.list_(pa.binary()))
TEXT = st.sampled_from(["cat", "dog", "", "-1", "ä"])
WHOLE = st.integers(-1, 2)
LABELS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): WHOLE,
    pa.int8(): WHOLE,
    pa.uint64(): st.sampled_from([0, 1, 2**64 - 1]),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.string_view(): TEXT,
    pa.dictionary(pa.int32(), pa.string()): TEXT,
    pa.dictionary(pa.int8(), pa.int64()): WHOLE,
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    pa.float32(): st.sampled_from([0.0, 1.0]),
    pa.list_(pa.int64()): st.lists(WHOLE, max_size=2),
    pa.timestamp("s"): WHOLE,
}


@dataclass(frozen=True)
class Column:
    """A column of a file: its name, type and values."""

    name: str
    kind: pa.DataType
    values: list[Any]


@st.composite
def columns(draw: st.DrawFn, rows: int) -> list[Column]:
    """What a file holds; most often images and labels of a kind that is understood."""
    kind = draw(st.sampled_from(IMAGES[:3] if draw(st.integers(0, 3)) else IMAGES))
    contents = draw(st.lists(BYTES, min_size=rows, max_size=rows))
    found = [Column("image", kind, [_as(kind, content) for content in contents])]
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(["label", "label", "Label", "labels", "fine", "mask", "image", "id"]))
        usual = draw(st.integers(0, 3))
        kind = draw(st.sampled_from([pa.int64(), pa.string()] if usual else sorted(LABELS, key=str)))
        found.append(Column(name, kind, draw(st.lists(LABELS[kind], min_size=rows, max_size=rows))))
    return draw(st.permutations(found)) if len(found) > 1 else found


def _as(kind: pa.DataType, content: bytes | None) -> Any:
    if kind == STRUCT:
        return {"bytes": content, "path": None}
    if kind == pa.string():
        return None if content is None else "a.jpg"
    return [content] if pa.types.is_list(kind) else content


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[Column], tuple[int, bytes], str | None]:
    """A file's name, columns, damage, and names of classes in its metadata."""
    made = draw(columns(draw(st.integers(0, 5))))
    damage = (
        draw(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=20)))
        if not draw(st.integers(0, 7))
        else (0, b"")
    )
    return draw(FILES), made, damage, draw(st.sampled_from([None, None, "cat,dog", "dog,cat"]))


SETTINGS = st.fixed_dictionaries(
    {
        "labels": st.sampled_from(["auto", "auto", "none", "fine", "image"]),
        "splits": st.sampled_from(["auto", "auto", "none", {"train": "*train*"}]),
        "stream": st.sampled_from([None, None, {"buffer": 6, "sample": 3}]),
    }
)
INPUTS = st.tuples(st.lists(files(), min_size=1, max_size=4), SETTINGS)


def check(one: tuple[list[tuple[str, list[Column], tuple[int, bytes], str | None]], dict]) -> None:
    """Tries some files with some settings."""
    shards, settings = one
    with tempfile.TemporaryDirectory(prefix="augsweep-fuzz-") as place:
        root = Path(place) / "root"
        rows = dict(_write(root / name, *of_file) for name, *of_file in shards)
        config = parquet.Config(
            root=str(root), cache=f"{place}/cache", size=8, max_bad_share=0.99, validation_share=0.3, **settings
        )
        own_images._opened.cache_clear()
        parquet._indexed.cache_clear()
        try:
            card = parquet.card(config)
            loaded = {split: parquet.load(config, split) for split in card.splits}
            index = parquet._indexed(root, parquet._reading(config))
        except UserError as error:
            require_one_line(error)
            return
        assert (card.num_classes is None) == (loaded["train"].labels is None)
        seen = {str(file.relative_to(root)) for of_part in index.files.values() for file in of_part}
        expected = {name for name in rows if not name.startswith("._")}
        assert seen == expected or "splits" in str(index.notes), f"not used: {expected - seen}"
        assert sum(map(len, index.labels.values())) == sum(rows[name] for name in seen)
        if config.splits == "auto":
            for file in index.files["train"]:
                named = {naming(part.removesuffix(".parquet")).split for part in file.relative_to(root).parts}
                assert named <= {None, "train"}, f"{file} is trained on"


def _write(file: Path, made: list[Column], damage: tuple[int, bytes], classes: str | None) -> tuple[str, int]:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_arrays(
        [pa.array(column.values, column.kind) for column in made], names=[column.name for column in made]
    )
    if classes is not None:
        features = {"info": {"features": {"label": {"names": classes.split(",")}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, file, row_group_size=4)
    place, added = damage
    if added:
        content = file.read_bytes()
        file.write_bytes(content[:place] + added + content[place + len(added) :])
    return str(file.relative_to(next(one for one in file.parents if one.name == "root"))), table.num_rows
