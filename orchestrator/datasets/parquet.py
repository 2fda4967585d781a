"""The user's own images in Parquet files, as the Hugging Face hub has them.

Columns: `image` (bytes of a JPEG, PNG, ..., or a struct with such `bytes`), `label` (whole numbers or text) and `mask`
(as `image`: grey, 8 bits, 255 is foreground), the last two if there are any. `root` is one file, which is all `train`;
or a folder with `train/`, `validation/` and `test/`; or a folder of shards, which belong together or begin with
`train-`, `validation-` and `test-`. A folder may also be a prefix in an object store: `s3://bucket/prefix`.

With `stream: {}`, training images are read and decoded while they are trained on, so they may be more than memory or
the cache can hold. What evaluations need, and what lends backgrounds, is a sample of them in memory.
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
from orchestrator.data.decode_cache import Listing, Sample
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, held_out_rows
from orchestrator.data.locations import located
from orchestrator.data.own_images import OwnImages
from orchestrator.data.row_groups import RowGroups, row_groups
from orchestrator.data.streamed import Stream, Streaming
from orchestrator.storage.object_store import ObjectPlace


class Config(own_images.Settings):
    """Which images, and how they are decoded and split; see `own_images.Settings`.

    Args:
        name: of the data set.
        stream: how to train on images that are not held in memory, or None to hold them all.
    """

    name: str = "parquet"
    stream: Streaming | None = None


def listing(root: Path | ObjectPlace) -> Listing:
    """What lies in a file or folder.

    Raises:
        UserError: if it is laid out in another way, a file is damaged, or there are no images.
    """
    index = shards.index(root)

    def samples() -> Iterator[Sample]:
        for part, files in index.files.items():
            number = iter(index.labels[part])
            for file in files:
                for row, (image, mask) in enumerate(shards.rows(file)):
                    yield Sample(f"{file.name} row {row}", image, mask, next(number))

    parts = {part: len(labels) for part, labels in index.labels.items()}
    return Listing(str(root), parts, index.num_classes, index.masked, index.state, samples)


@dataclass(frozen=True)
class Sampled:
    """Lists what is held in memory of images that are streamed, as `listing` does with all of them.

    Args:
        size: images of `train`, and of `validation`, at most.
        validation_share: of the training images, held out where there is no part `validation`.
        seed: of both choices.
    """

    size: int
    validation_share: float
    seed: int

    def __call__(self, root: Path | ObjectPlace) -> Listing:
        """What `listing` says, of the sample."""
        index, chosen = _indexed(root), self.chosen(root)

        def samples() -> Iterator[Sample]:
            for part, rows in chosen.items():
                source = part if part in index.files else "train"
                yield from _samples(row_groups(index.files[source], rows), np.asarray(index.labels[source]))

        parts = {part: len(rows) for part, rows in chosen.items()}
        state = [index.state, self.size, self.validation_share, self.seed]
        return Listing(f"{root}, a sample,", parts, index.num_classes, index.masked, state, samples)

    def trained(self, root: Path | ObjectPlace) -> Int64[np.ndarray, "N"]:
        """The rows of the files of `train` that are trained on."""
        index = _indexed(root)
        count = len(index.labels["train"])
        if "validation" in index.files:
            return np.arange(count)
        return held_out_rows(count, self.validation_share, self.seed)[0]

    def chosen(self, root: Path | ObjectPlace) -> Mapping[str, Int64[np.ndarray, "_"]]:
        """The rows of each part; where it has no files of its own, of the files of `train`."""
        index, trained = _indexed(root), self.trained(root)
        everything = {part: np.arange(len(labels)) for part, labels in index.labels.items()}
        held_out = np.setdiff1d(everything["train"], trained, assume_unique=True)
        parts = {"train": trained, "validation": held_out} | everything | {"train": trained}
        return {part: rows if part == "test" else self._some(rows, part) for part, rows in parts.items()}

    def _some(self, rows: Int64[np.ndarray, "N"], part: str) -> Int64[np.ndarray, "M"]:
        order = draws.permutation(draws.integer(self.seed, "sample", part), 0, len(rows)).numpy()
        return np.sort(rows[order[: self.size]])


def card(config: Config) -> DatasetCard:
    """What the configured images are; decodes those that are held in memory, if no earlier start has.

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
        fingerprint=fingerprint(found.fingerprint, _indexed(located(config.root)).content),
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
    index, trained = _indexed(root), sampled.trained(root)
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
        settings=config.stream,
    )


# A process sees the files in one state, however often it asks; a new state is seen by the next process.
_indexed = lru_cache(maxsize=4)(shards.index)


def _images(config: Config) -> OwnImages:
    return OwnImages(listing if config.stream is None else _sampled(config, config.stream))


def _sampled(config: Config, settings: Streaming) -> Sampled:
    return Sampled(settings.sample, config.validation_share, config.seed)


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
