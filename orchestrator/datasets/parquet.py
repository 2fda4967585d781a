"""The user's own images in Parquet files, as the Hugging Face hub has them.

Columns: `image` (bytes of a JPEG, PNG, ..., or a struct with such `bytes`), optionally `label` (whole numbers or text;
null and -1 mean no label) and `mask` (as `image`: grey, 8 bits, 255 is foreground). `root` is one file, which is all
`train`, or a folder whose files and sub-folders name the splits, as in `train-00000-of-00002.parquet` or
`default/test/0000.parquet`; see `orchestrator.data.assignment`. If no name stands for a split, all files are `train`.
A folder may also be a prefix in an object store: `s3://bucket/prefix`.

With `stream: {}`, training images are read and decoded during training, so they need not fit into memory or the cache.
Evaluations and borrowed backgrounds use a sample of them that is held in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from augment import draws
from orchestrator.core.errors import UserError
from orchestrator.data import own_images, shards
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows
from orchestrator.data.listing import Listing, Sample
from orchestrator.data.locations import located
from orchestrator.data.own_images import OwnImages
from orchestrator.data.row_groups import RowGroups, row_groups
from orchestrator.data.shards import Reading
from orchestrator.data.streamed import Stream, Streaming
from orchestrator.storage.object_store import ObjectPlace


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`.

    Args:
        name: of the data set.
        labels: the column of labels; `auto` takes `label` if there is one, and `none` uses no labels.
        stream: how to train on images that are not held in memory, or None to hold them all.
    """

    name: str = "parquet"
    labels: str = "auto"
    stream: Streaming | None = None


@dataclass(frozen=True)
class Whole:
    """Lists all images in a file or folder.

    Args:
        reading: how the files are understood.
    """

    reading: Reading

    def __call__(self, root: Path | ObjectPlace) -> Listing:
        """What lies in a file or folder.

        Raises:
            UserError: if it cannot be understood, a file is damaged, or there are no images.
        """
        index = _indexed(root, self.reading)

        def samples() -> Iterator[Sample]:
            for part, files in index.files.items():
                number = iter(index.labels[part])
                for file in files:
                    for row, (image, mask) in enumerate(shards.rows(file)):
                        yield Sample(f"{file.name} row {row}", image, mask, next(number))

        parts = {part: len(labels) for part, labels in index.labels.items()}
        return Listing(
            source=str(root),
            parts=parts,
            num_classes=index.num_classes,
            masked=index.masked,
            state=index.state,
            samples=samples,
            unlabelled=index.classes.unlabelled,
            notes=index.notes,
        )


@dataclass(frozen=True)
class Sampled:
    """Lists the images of a streamed data set that are held in memory.

    Args:
        reading: how the files are understood.
        size: images of `train`, and of `validation`, at most.
        validation_share: share of the training images that is held out without a part `validation`.
        seed: of both choices.
    """

    reading: Reading
    size: int
    validation_share: float
    seed: int

    def __call__(self, root: Path | ObjectPlace) -> Listing:
        """The sample, as `Whole` lists everything."""
        index, chosen = _indexed(root, self.reading), self.chosen(root)

        def samples() -> Iterator[Sample]:
            for part, rows in chosen.items():
                source = part if part in index.files else "train"
                yield from _samples(row_groups(index.files[source], rows), np.asarray(index.labels[source]))

        return Listing(
            source=f"{root}, a sample,",
            parts={part: len(rows) for part, rows in chosen.items()},
            num_classes=index.num_classes,
            masked=index.masked,
            state=[index.state, self.size, self.validation_share, self.seed],
            samples=samples,
            unlabelled=index.classes.unlabelled,
            notes=index.notes,
        )

    def trained(self, root: Path | ObjectPlace) -> Int64[np.ndarray, "N"]:
        """The rows of the files of `train` that are trained on."""
        index = _indexed(root, self.reading)
        count = len(index.labels["train"])
        if "validation" in index.files:
            return np.arange(count)
        return held_out_rows(count, self.validation_share, self.seed)[0]

    def chosen(self, root: Path | ObjectPlace) -> Mapping[str, Int64[np.ndarray, "_"]]:
        """The rows of each part; of the files of `train` for a part without files."""
        index, trained = _indexed(root, self.reading), self.trained(root)
        everything = {part: np.arange(len(labels)) for part, labels in index.labels.items()}
        held_out = np.setdiff1d(everything["train"], trained, assume_unique=True)
        parts = {"train": trained, "validation": held_out} | everything | {"train": trained}
        return {part: rows if part == "test" else self._some(rows, part) for part, rows in parts.items()}

    def _some(self, rows: Int64[np.ndarray, "N"], part: str) -> Int64[np.ndarray, "M"]:
        order = draws.permutation(draws.derive_seed(self.seed, "sample", part), 0, len(rows)).numpy()
        return np.sort(rows[order[: self.size]])


def card(config: Config) -> DatasetCard:
    """The card of the configured images; decodes those that are held in memory on the first start.

    Raises:
        UserError: if the images cannot be used as they are.
    """
    found = _images(config).card(config)
    streamed = stream(config)
    if streamed is None:
        return found
    return replace(
        found,
        train_size=len(streamed.groups),
        fingerprint=fingerprint(found.fingerprint, _indexed(located(config.root), _reading(config)).content),
        remarks=tuple(f"of the sample in memory, {remark}" for remark in found.remarks),
    )


def load(config: Config, split: str) -> ImageSet:
    """One split; of a streamed `train`, and of `validation` then, the sample that is held in memory.

    Raises:
        ValueError: if there is no such split.
        UserError: if the images cannot be used as they are.
    """
    return _images(config).load(config, split)


def stream(config: Config) -> Stream | None:
    """Where the training images lie, if they are to be streamed.

    Raises:
        UserError: if the images cannot be used as they are.
    """
    if config.stream is None:
        return None
    root, sampled = located(config.root), _sampled(config, config.stream)
    index, trained = _indexed(root, _reading(config)), sampled.trained(root)
    groups = row_groups(index.files["train"], trained)
    _require_small(groups, config.stream.buffer)
    held = np.searchsorted(trained, sampled.chosen(root)["train"])
    missing = [place for place in _images(config).opened(config).missing if place < len(held)]
    return Stream(
        groups=groups,
        labels=None if index.num_classes is None else np.asarray(index.labels["train"])[trained],
        sample=np.delete(held, missing),
        size=config.size,
        max_bad_share=config.max_bad_share,
        max_pixels=config.max_pixels,
        settings=config.stream,
    )


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
_indexed = lru_cache(maxsize=4)(shards.index)


def _images(config: Config) -> OwnImages:
    return OwnImages(Whole(_reading(config)) if config.stream is None else _sampled(config, config.stream))


def _sampled(config: Config, settings: Streaming) -> Sampled:
    return Sampled(_reading(config), settings.sample, config.validation_share, config.seed)


def _reading(config: Config) -> Reading:
    return Reading(config.labels, config.patterns)


def _samples(groups: RowGroups, labels: Int64[np.ndarray, "_"]) -> Iterator[Sample]:
    """Some rows, of which no more than a row group is in memory."""
    for number in range(len(groups.places)):
        first, end = groups.bounds[number : number + 2].tolist()
        if first < end:
            group = groups.read(number, masked=True)
            yield from (Sample(*group.content(row), int(labels[groups.rows[row]])) for row in range(first, end))


def _require_small(groups: RowGroups, buffer: int) -> None:
    sizes = np.diff(groups.starts)
    largest = int(sizes.argmax())
    if sizes[largest] > buffer:
        file, number, _ = groups.places[largest].tolist()
        raise UserError(
            f"{groups.files[file]}: row group {number} has {sizes[largest]} rows, and run.dataset.stream.buffer = "
            f"{buffer} must hold it: write the file with smaller row groups (row_group_size in pyarrow), or raise it"
        )
