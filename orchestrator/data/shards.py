"""Parquet files of images: which belong to which split, and what they hold."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.core.errors import UserError, first_line, printable
from orchestrator.data import own_images
from orchestrator.data.assignment import Assignment, assign, require_no_empty
from orchestrator.data.class_labels import Classes, classes, classes_text, counts_text
from orchestrator.data.file_tree import examples, ignored_text, is_litter, kind_of, walk
from orchestrator.data.images import fingerprint
from orchestrator.data.row_groups import File, contents, native, opened
from orchestrator.storage.object_store import ObjectPlace

ENDINGS = (".parquet", ".parq", ".pq")
_BATCH = 256  # rows read at once where a whole file is read, which bounds the memory
_TAIL = 8  # bytes at a file's end: the length of the footer before them, and a mark
_DEPTH = 4  # levels of an object store's prefix that are searched for files
_AUTO, _NONE = "auto", own_images.NO_LABELS
_UNLABELLED = -1  # as data sets on the Hugging Face hub mark images whose labels are not published


@dataclass(frozen=True)
class Reading:
    """How Parquet files are understood.

    Args:
        labels: the setting `labels`.
        patterns: the setting `splits`.
    """

    labels: str
    patterns: own_images.PatternItems | None


@dataclass(frozen=True)
class Index:
    """What lies in a file or folder, known without reading an image.

    Args:
        root: the file or folder.
        files: by part.
        classes: of the images.
        masked: whether there are masks.
        notes: how the files were understood.
    """

    root: File
    files: Mapping[str, Sequence[File]]
    classes: Classes
    masked: bool
    notes: tuple[str, ...]

    @property
    def labels(self) -> Mapping[str, Sequence[int]]:
        """Class of each image by part, -1 without a label."""
        return self.classes.numbers

    @property
    def num_classes(self) -> int | None:
        """Labels run from 0 to this, or None without labels."""
        return self.classes.count

    @property
    def state(self) -> list[Any]:
        """Plain values that change whenever a file does, or what it is used for."""
        every = [(part, file) for part, of_part in self.files.items() for file in of_part]
        files = [[part, str(file).removeprefix(str(self.root)), *_state(file)] for part, file in every]
        return [files, fingerprint(self.labels)]

    @cached_property
    def content(self) -> str:
        """A hash of labels and footers, which hold the place, the size and the range of all columns of a file.

        Unlike `state` it stays the same if files are copied to another place.
        """
        digest = hashlib.sha256()
        for part, files in self.files.items():
            digest.update(part.encode() + np.asarray(self.labels[part], np.int64).tobytes())
            for file in files:
                digest.update(_footer(file))
        return digest.hexdigest()


def index(root: File, reading: Reading) -> Index:
    """What lies in a file or folder; reads labels, and no images.

    Raises:
        UserError: if it cannot be understood, a file is damaged, or there are no images.
    """
    files, assignment, ignored = _files(root, reading)
    everything = list(chain.from_iterable(files.values()))
    column = _label_column(everything, reading.labels)
    labels = {part: [label for file in of_part for label in _labels(file, column)] for part, of_part in files.items()}
    for part, of_part in labels.items():
        if not of_part:
            raise UserError(f"{root}: {part} has no images: its Parquet files hold no rows")
    remedy = f"set run.dataset.labels: {_NONE} to use none of them"
    if column is not None and any(label is None for of_part in labels.values() for label in of_part):
        remedy = f"null and {_UNLABELLED} in the column {column} mean no label; {remedy}"
    found = classes(str(root), labels, remedy=remedy)
    masked = any("mask" in opened(file).schema_arrow.names for file in everything)
    counts = {part: len(of_part) for part, of_part in labels.items()}
    how = f" by {assignment.how}" if assignment is not None and assignment.how and len(counts) > 1 else ""
    text = classes_text(
        found, taken_from=f"the column {column}", otherwise=_without_labels(everything, reading, column, found)
    )
    notes = (f"{counts_text(counts)}{how}; {text}", ignored)
    return Index(root, files, found, masked, tuple(note for note in notes if note))


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


def _files(root: File, reading: Reading) -> tuple[Mapping[str, Sequence[File]], Assignment | None, str]:
    """The files of each part, what decided that, and what is ignored."""
    if isinstance(root, Path):
        own_images.require_place(root)
        if root.is_file():
            return {"train": [root]}, None, ""
        if not root.is_dir():
            raise UserError(f"run.dataset.root = {root}: it is no file and no folder")
        names, folders, ignored = _local(root)
    else:
        if _is_object(root):
            return {"train": [root]}, None, ""
        names, folders, ignored = _remote(root), [], ""
    if not names:
        raise UserError(f"run.dataset.root = {root}: it holds no Parquet files (*.parquet)")
    patterns = None if reading.patterns is None else dict(reading.patterns)
    found = assign(names, source=str(root), classes=False, patterns=patterns)
    if patterns is None:
        require_no_empty(folders, found, source=str(root))
    if found.unused:
        text = f"ignored: {len(found.unused)} files that run.dataset.splits does not name ({examples(found.unused)})"
        ignored = f"{ignored}; {text}" if ignored else text
    return {part: [root / name for name in of_part] for part, of_part in found.parts.items()}, found, ignored


def _local(root: Path) -> tuple[list[str], list[str], str]:
    tree = walk(root)
    names = []
    for name in tree.files:
        if name.lower().endswith(ENDINGS):
            names.append(name)
        else:
            tree.ignore(kind_of(name), name)
    return sorted(names, key=lambda name: name.split("/")), tree.folders, ignored_text(tree)


def _remote(root: ObjectPlace) -> list[str]:
    try:
        found = [file for depth in range(_DEPTH) for file in root.glob("/".join(["*"] * (depth + 1)))]
    except OSError as error:
        raise UserError(f"run.dataset.root = {error}") from error
    names = [str(file.path.relative_to(root.path)) for file in found if file.name.lower().endswith(ENDINGS)]
    return sorted(name for name in names if not any(map(is_litter, name.split("/"))))


def _is_object(root: ObjectPlace) -> bool:
    try:
        return root.exists()
    except OSError as error:
        raise UserError(f"run.dataset.root = {error}") from error


def _state(file: File) -> list[int]:
    return own_images.state_of(file) if isinstance(file, Path) else [file.size(), file.modified()]


def _footer(file: File) -> bytes:
    with native(file) as source:
        source.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(source.read(4), "little")
        source.seek(-_TAIL - length, os.SEEK_END)
        return source.read(length)


def _label_column(files: Sequence[File], setting: str) -> str | None:
    """The column that labels are taken from, which all files must have alike; None without labels."""
    schemas = {file: opened(file).schema_arrow for file in files}
    for file, schema in schemas.items():
        for name in ("image", "mask"):
            _require_bytes(schema, name, file)
    if setting == _NONE:
        return None
    column = "label" if setting == _AUTO else setting
    having = [file for file, schema in schemas.items() if column in schema.names]
    if not having:
        if setting == _AUTO:
            return None
        raise UserError(
            f"run.dataset.labels = {column}: {files[0]} has no such column; its columns are "
            f"{', '.join(schemas[files[0]].names)}"
        )
    _require_alike({file: schemas[file] for file in having}, column)
    return column


def _require_alike(schemas: Mapping[File, pa.Schema], column: str) -> None:
    """Refuse columns of labels that hold different things."""
    kinds: dict[str, File] = {}
    names: dict[str, File] = {}
    for file, schema in schemas.items():
        _require_single(schema, column, file)
        kind = _kind(schema.field(column).type, column, file)
        if kind != "nothing":
            kinds.setdefault(kind, file)
        if class_names := _class_names(schema, column):
            names.setdefault(class_names, file)
    for what, found in (("hold", kinds), ("name the classes", names)):
        if len(found) > 1:
            (first, one), (second, other) = list(found.items())[:2]
            raise UserError(
                f"{one} and {other}: their columns {column} {what} differently, {_shortened(first)} and "
                f"{_shortened(second)}; write them alike, or set run.dataset.labels: {_NONE}"
            )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(kind: pa.DataType, column: str, file: File) -> str:
    """What a column of labels holds."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(kind):
        return "nothing"
    if pa.types.is_integer(kind):
        return "whole numbers"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    raise UserError(f"{file}: the column {column} must hold whole numbers or text, not {kind}")


def _class_names(schema: pa.Schema, column: str) -> str | None:
    """The names of the classes 0, 1, ... that the `datasets` library wrote into a file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return ", ".join(map(str, names)) if isinstance(names, list) else None


def _without_labels(files: Sequence[File], reading: Reading, column: str | None, found: Classes) -> str:
    """Why no labels are used, and how to use some."""
    if reading.labels == _NONE:
        return f"run.dataset.labels is {_NONE}"
    if column is not None:
        only = "no row of train has one" if found.single is None else f"all rows of train have {found.single}"
        return f"in the column {column}, {only}"
    others = [name for name in opened(files[0]).schema_arrow.names if name not in ("image", "mask")]
    text = "there is no column label"
    return f"{text}; name one in run.dataset.labels: {', '.join(map(printable, others))}" if others else text


def _labels(file: File, column: str | None) -> list[Any]:
    """The label of each row; None without one."""
    source = opened(file)
    if column is None or column not in source.schema_arrow.names:
        return [None] * source.metadata.num_rows
    try:
        found = source.read([column]).column(column).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: the column {column} cannot be read: {first_line(error)}") from error
    return [None if label == _UNLABELLED else label for label in found]


def _require_single(schema: pa.Schema, name: str, file: File) -> None:
    if schema.names.count(name) > 1:
        raise UserError(
            f"{file} has {schema.names.count(name)} columns {name}; write it with one, or rename the others"
        )


def _require_bytes(schema: pa.Schema, name: str, file: File) -> None:
    if name not in schema.names:
        if name == "image":
            raise UserError(f"{file} has no column image; its columns are {', '.join(map(printable, schema.names))}")
        return
    _require_single(schema, name, file)
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise UserError(f"{file}: the column {name} must hold the bytes of image files, not {kind}")
