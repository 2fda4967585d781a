"""Parquet files of images: which of them belong together, and what they hold."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.core.errors import UserError, first_line
from orchestrator.data import own_images
from orchestrator.data.row_groups import File, contents, native, opened
from orchestrator.storage.object_store import ObjectPlace

_BATCH = 256  # rows read at once where a whole file is read, which bounds the memory
_TAIL = 8  # bytes at a file's end: the length of the footer before them, and a mark


@dataclass(frozen=True)
class Index:
    """What lies in a file or folder, known without reading an image.

    Args:
        root: the file or folder.
        files: by part.
        num_classes: labels run from 0 to this, or None without labels.
        labels: of each image by part, -1 without labels.
        masked: whether there are masks.
    """

    root: File
    files: Mapping[str, Sequence[File]]
    num_classes: int | None
    labels: Mapping[str, Sequence[int]]
    masked: bool

    @property
    def state(self) -> list[list[Any]]:
        """Plain values that change whenever a file does."""
        every = chain.from_iterable(self.files.values())
        return [[str(file).removeprefix(str(self.root)), *_state(file)] for file in every]

    @cached_property
    def content(self) -> str:
        """A hash of labels and footers, which hold the place, the size and the range of all that is in a file.

        Unlike `state` it stays the same where files are copied to another place.
        """
        digest = hashlib.sha256()
        for part, files in self.files.items():
            digest.update(part.encode() + np.asarray(self.labels[part], np.int64).tobytes())
            for file in files:
                digest.update(_footer(file))
        return digest.hexdigest()


def index(root: File) -> Index:
    """What lies in a file or folder; reads labels, and no images.

    Raises:
        UserError: if it is laid out in another way, a file is damaged, or there are no images.
    """
    files = _files(root)
    labels = {part: list(chain.from_iterable(map(_labels, of_part))) for part, of_part in files.items()}
    for part, of_part in labels.items():
        if not of_part:
            raise UserError(f"{root}: {part} has no images: its Parquet files hold no rows")
    num_classes, numbers = own_images.class_numbers(root, labels)
    masked = any("mask" in opened(file).schema_arrow.names for file in chain.from_iterable(files.values()))
    return Index(root, files, num_classes, numbers, masked)


def rows(file: File) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Image and mask of each row of a file, as bytes.

    Raises:
        UserError: if the file is damaged.
    """
    source = opened(file)
    columns = [name for name in ("image", "mask") if name in source.schema_arrow.names]
    try:
        for batch in source.iter_batches(_BATCH, columns=columns):
            images = contents(batch.column("image")).to_pylist()
            masks = contents(batch.column("mask")).to_pylist() if "mask" in columns else [None] * len(images)
            yield from zip(images, masks, strict=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is damaged: {first_line(error)}") from error


def _files(root: File) -> Mapping[str, Sequence[File]]:
    """The files of each part."""
    return _local(root) if isinstance(root, Path) else _remote(root)


def _local(root: Path) -> Mapping[str, Sequence[File]]:
    own_images.require_place(root)
    if root.is_file():
        return {"train": [root]}
    folders = own_images.part_folders(root)
    files = {part: sorted(folder.rglob("*.parquet")) for part, folder in folders.items()}
    for part, of_part in files.items():
        if not of_part:
            raise UserError(f"{folders[part]} holds no Parquet files (*.parquet)")
    return _by_name(root, files["train"]) if folders == {"train": root} else files


def _remote(root: ObjectPlace) -> Mapping[str, Sequence[File]]:
    try:
        if root.exists():
            return {"train": [root]}
        found = {part: sorted((root / part).glob("*.parquet"), key=str) for part in own_images.PARTS}
        files = {part: of_part for part, of_part in found.items() if of_part}
        files = files or _by_name(root, sorted(root.glob("*.parquet"), key=str))
    except OSError as error:
        raise UserError(f"run.dataset.root = {error}") from error
    if not files.get("train"):
        raise UserError(f"run.dataset.root = {root}: it holds no Parquet files (*.parquet), or none in train/")
    return files


def _by_name(root: File, files: Sequence[File]) -> Mapping[str, Sequence[File]]:
    """The files of a single folder by the part that their names begin with; all are of `train` where none does so."""
    parts = [match[1] if (match := re.match(r"(train|validation|test)\b", file.name)) else None for file in files]
    named: dict[str, list[File]] = {part: [] for part in own_images.PARTS if part in parts}
    if "train" not in named:
        return {"train": files}
    for file, part in zip(files, parts, strict=True):
        if part is None:
            raise UserError(
                f"{root} holds {file.name} beside train files: its name must begin with train, validation or test"
            )
        named[part].append(file)
    return named


def _state(file: File) -> list[int]:
    return own_images.state_of(file) if isinstance(file, Path) else [file.size(), file.modified()]


def _footer(file: File) -> bytes:
    with native(file) as source:
        source.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(source.read(4), "little")
        source.seek(-_TAIL - length, os.SEEK_END)
        return source.read(length)


def _labels(file: File) -> list[Any]:
    """The label of each row; None where there is none."""
    source = opened(file)
    schema = source.schema_arrow
    for name in ("image", "mask"):
        _require_bytes(schema, name, file)
    if "label" not in schema.names:
        return [None] * source.metadata.num_rows
    kind = schema.field("label").type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"{file}: the column label must hold whole numbers or text, not {kind}")
    return source.read(["label"]).column("label").to_pylist()


def _require_bytes(schema: pa.Schema, name: str, file: File) -> None:
    if name not in schema.names:
        if name == "image":
            raise UserError(f"{file} has no column image; its columns are {', '.join(schema.names)}")
        return
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise UserError(f"{file}: the column {name} must hold the bytes of image files, not {kind}")
