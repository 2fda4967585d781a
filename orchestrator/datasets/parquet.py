"""The user's own images in Parquet files, as the Hugging Face hub has them.

Columns: `image` (bytes of a JPEG, PNG, ..., or a struct with such `bytes`), `label` (whole numbers or text) and `mask`
(as `image`: grey, 8 bits, 255 is foreground), the last two if there are any. `root` is one file, which is all `train`;
or a folder with `train/`, `validation/` and `test/`; or a folder of shards, which belong together or begin with
`train-`, `validation-` and `test-`.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.datasets import own_images
from orchestrator.datasets.decode_cache import Listing, Sample
from orchestrator.errors import UserError

BATCH = 256  # rows read at once, which bounds the memory


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`."""

    name: str = "parquet"


def listing(root: Path) -> Listing:
    """What lies in a file or folder.

    Raises:
        UserError: if it is laid out in another way, a file is damaged, or there are no images.
    """
    shards = _shards(root)
    labels = {part: list(chain.from_iterable(map(_labels, files))) for part, files in shards.items()}
    for part, of_part in labels.items():
        if not of_part:
            raise UserError(f"{root}: {part} has no images: its Parquet files hold no rows")
    num_classes, numbers = own_images.class_numbers(root, labels)
    every = [file for files in shards.values() for file in files]

    def samples() -> Iterator[Sample]:
        for part, files in shards.items():
            number = iter(numbers[part])
            for file in files:
                for row, (image, mask) in enumerate(_rows(file)):
                    yield Sample(f"{file.name} row {row}", image, mask, next(number))

    return Listing(
        parts={part: len(of_part) for part, of_part in labels.items()},
        num_classes=num_classes,
        masked=any("mask" in _opened(file).schema_arrow.names for file in every),
        state=[[str(file.relative_to(root)), *own_images.state_of(file)] for file in every],
        samples=samples,
    )


IMAGES = own_images.OwnImages(listing)
card, load = IMAGES.card, IMAGES.load


def _shards(root: Path) -> dict[str, list[Path]]:
    """The files of each part."""
    own_images.require_place(root)
    if root.is_file():
        return {"train": [root]}
    folders = own_images.part_folders(root)
    shards = {part: sorted(folder.rglob("*.parquet")) for part, folder in folders.items()}
    for part, files in shards.items():
        if not files:
            raise UserError(f"{folders[part]} holds no Parquet files (*.parquet)")
    if folders != {"train": root}:
        return shards
    parts = [
        match[1] if (match := re.match(r"(train|validation|test)\b", file.name)) else None for file in shards["train"]
    ]
    named: dict[str, list[Path]] = {part: [] for part in own_images.PARTS if part in parts}
    if "train" not in named:
        return shards
    for file, part in zip(shards["train"], parts, strict=True):
        if part is None:
            raise UserError(
                f"{root} holds {file.name} beside train files: its name must begin with train, validation or test"
            )
        named[part].append(file)
    return named


def _opened(file: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read as Parquet: {str(error).partition(chr(10))[0]}") from error


def _labels(file: Path) -> list[Any]:
    """The label of each row; None where there is none."""
    opened = _opened(file)
    schema = opened.schema_arrow
    for name in ("image", "mask"):
        _require_bytes(schema, name, file)
    if "label" not in schema.names:
        return [None] * opened.metadata.num_rows
    kind = schema.field("label").type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"{file}: the column label must hold whole numbers or text, not {kind}")
    return opened.read(["label"]).column("label").to_pylist()


def _require_bytes(schema: pa.Schema, name: str, file: Path) -> None:
    if name not in schema.names:
        if name == "image":
            raise UserError(f"{file} has no column image; its columns are {', '.join(schema.names)}")
        return
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise UserError(f"{file}: the column {name} must hold the bytes of image files, not {kind}")


def _rows(file: Path) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Image and mask of each row, as bytes."""
    opened = _opened(file)
    columns = [name for name in ("image", "mask") if name in opened.schema_arrow.names]
    try:
        for batch in opened.iter_batches(BATCH, columns=columns):
            images = _plain(batch.column("image"))
            masks = _plain(batch.column("mask")) if "mask" in columns else [None] * len(images)
            yield from zip(images, masks, strict=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is damaged: {str(error).partition(chr(10))[0]}") from error


def _plain(column: pa.Array) -> list[bytes | None]:
    return (column.field("bytes") if isinstance(column, pa.StructArray) else column).to_pylist()
