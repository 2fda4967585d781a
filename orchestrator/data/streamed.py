"""Images that are not in memory, handed out in batches like those that are; see `orchestrator.data.on_device`."""

import logging
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from augment import config as base
from augment import draws, separation
from augment.views import Bank, Batch
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.data.foregrounds import Foregrounds
from orchestrator.data.images import ImageSet
from orchestrator.data.on_device import unit
from orchestrator.data.prefetch import Squares, StandIn, decoded
from orchestrator.data.row_groups import RowGroups

logger = logging.getLogger(__name__)

_NAMED = 3  # images that a warning names


class Streaming(base.Config):
    """How images are read while they are trained on.

    Args:
        buffer: images among which the order of an epoch is shuffled: as many row groups as hold about so many. Up to
            twice as many are in memory as they are in the files.
        sample: images of `train`, and of `validation`, that are decoded before and held in memory: mean and deviation
            are theirs, evaluations read them, and backgrounds are borrowed from them.
        threads: that decode, beside those that train.
    """

    buffer: int = Field(4096, ge=2)
    sample: int = Field(10_000, ge=2)
    threads: int = Field(2, ge=1)


@dataclass(frozen=True)
class Stream:
    """Where the training images of a data set lie: small, so that it can be sent to any worker that sees the files.

    Args:
        groups: of the images that are trained on.
        labels: class of each, (N,), or None.
        sample: rows of those that are held in memory as the split `train`, ascending, (M,).
        size: side of the square images in pixels.
        max_bad_share: share of the images that may be unreadable.
        max_pixels: a larger image counts as unreadable.
        settings: how to read them.
    """

    groups: RowGroups
    labels: Int64[np.ndarray, "N"] | None
    sample: Int64[np.ndarray, "M"]
    size: int
    max_bad_share: float
    max_pixels: int
    settings: Streaming

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        groups = self.groups
        arrays = (groups.rows, groups.places, groups.starts, groups.nbytes, self.sample, self.labels)
        return sum(array.nbytes for array in arrays if array is not None)


def windowed_order(bounds: Int64[np.ndarray, "_"], buffer: int, *, seed: int, epoch: int) -> Int64[Tensor, "N"]:
    """The order in which an epoch visits rows that are read a row group at a time: a function of its arguments alone.

    Row groups come in random order; their sequence is cut into windows of about `buffer` rows, between two groups; and
    inside a window rows come in random order. With all rows in one window it is the order of images in memory.

    Args:
        bounds: first row of each row group, and how many rows there are, (G + 1,).
        buffer: rows of a window, but for the group at its end.
        seed: of the run.
        epoch: pass over the data.

    Returns:
        The rows, on CPU.
    """
    sizes = np.diff(bounds)
    groups = draws.permutation(draws.derive_seed(seed, "row groups"), epoch, len(sizes)).numpy()
    before = np.cumsum(sizes[groups]) - sizes[groups]
    windows = np.empty_like(sizes)
    windows[groups] = before // buffer
    rows = draws.permutation(seed, epoch, int(bounds[-1]))
    return rows[torch.from_numpy(np.repeat(windows, sizes))[rows].argsort(stable=True)]


class StreamedImages:
    """The training images of a stream, read and decoded as they are asked for.

    Args:
        source: where they lie.
        sample: those of them that are in memory, from which backgrounds are borrowed.
        device: where batches are wanted.
        needs: fields of a batch to fill beside its images.
        foregrounds: the sample taken apart, if anything is needed; all images are taken apart alike.
        seed: of the run.

    Attributes:
        labels: class of each image, (N,), or None; where an image cannot be read, of the one that stands in for it.

    Raises:
        UserError: if too few masks are usable, or they were to be shuffled.
    """

    capturable = False  # in CUDA graphs
    reason = "its images are streamed"

    def __init__(
        self,
        source: Stream,
        sample: ImageSet,
        device: torch.device,
        *,
        needs: Collection[str],
        foregrounds: Foregrounds | None,
        seed: int,
    ) -> None:
        self._source, self._device, self._needs, self._seed = source, device, needs, seed
        # A copy, since labels change where images cannot be read.
        self.labels = None if source.labels is None else torch.tensor(source.labels, device=device)
        settings = source.settings
        self._decoded = partial(
            decoded,
            source.groups,
            size=source.size,
            max_pixels=source.max_pixels,
            masked=bool(needs),
            buffer=settings.buffer,
            threads=settings.threads,
        )
        self._announced: deque[Int64[np.ndarray, "_"]] = deque()
        self._ahead: Iterator[Squares] = iter(())
        self._unreadable: set[int] = set()
        self._bank: Bank | None = None
        if foregrounds is not None:
            self._how = foregrounds.how
            if self._how.noise == "shuffle":
                raise UserError("separation.noise = shuffle needs all masks in memory, and run.dataset is streamed")
            if "bank" in needs:
                images, rows = torch.from_dlpack(sample.images).to(device), torch.tensor(source.sample, device=device)
                self._bank = foregrounds.bank(images, rows, count=len(self))

    def __len__(self) -> int:
        return len(self._source.groups)

    @property
    def own_bytes(self) -> int:
        """Memory that a training takes for them beside what all share: two windows of files."""
        groups = self._source.groups
        window = self._source.settings.buffer * int(groups.nbytes.sum()) // int(groups.starts[-1])
        return 2 * window

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The rows as an epoch visits them, on CPU."""
        return windowed_order(self._source.groups.bounds, self._source.settings.buffer, seed=self._seed, epoch=epoch)

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Be told the rows of the batches to come, on CPU, which are then decoded before they are asked for."""
        rows = [batch.numpy() for batch in batches]
        self._announced = deque(rows)
        self._ahead = self._decoded(rows)

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The images of some rows, on CPU, and what was needed; at once if they come as announced."""
        squares = self._squares(rows.numpy())
        self._replace(squares.stand_ins)
        images = hardware.sent(torch.from_numpy(squares.images), self._device).permute(0, 3, 1, 2)
        if squares.masks is None:
            return Batch(unit(images))
        rows, read = (hardware.sent(one, self._device) for one in (rows, torch.from_numpy(squares.masks)))
        masks = separation.foregrounds(read[:, None], self._how, self._seed, rows)
        batch = Batch(unit(images), unit(masks) if "masks" in self._needs else None, bank=self._bank)
        if "backgrounds" not in self._needs:
            return batch
        behind = separation.completed(images, masks, self._how)
        return replace(batch, backgrounds=unit(behind), lenders=separation.lenders(masks))

    def _squares(self, rows: Int64[np.ndarray, "B"]) -> Squares:
        if self._announced and np.array_equal(rows, self._announced[0]):
            self._announced.popleft()
            return next(self._ahead)
        return next(self._decoded([rows]))

    def _replace(self, stand_ins: Sequence[StandIn]) -> None:
        """Take note of images that cannot be read.

        Raises:
            UserError: if there are too many of them.
        """
        for one in stand_ins:
            if self.labels is not None:
                self.labels[one.row] = self.labels[one.by]
            if one.row in self._unreadable:
                continue
            self._unreadable.add(one.row)
            if len(self._unreadable) <= _NAMED:
                logger.warning("unreadable, and replaced by the next image: %s", one.why)
            count, share = len(self._unreadable), self._source.max_bad_share
            if count > share * len(self):
                law = f"{count} of {len(self)} replaced must be at most run.dataset.max_bad_share = {share:g}"
                raise UserError(f"images cannot be read, the last of them {one.why}; {law}")
