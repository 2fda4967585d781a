"""Streamed training images, with the interface of `orchestrator.data.on_device.DeviceImages`."""

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
    """How images are read during training.

    Args:
        buffer: images in a shuffling window, rounded to whole row groups. Up to twice as many are in memory in
            encoded form.
        sample: images of `train`, and of `validation`, that are held in memory: for mean and deviation, evaluations,
            and borrowed backgrounds.
        threads: number of decoding threads, in addition to those that train.
    """

    buffer: int = Field(4096, ge=2)
    sample: int = Field(10_000, ge=2)
    threads: int = Field(2, ge=1)


@dataclass(frozen=True)
class Stream:
    """Locations of the training images of a data set; small enough to be sent to every worker.

    Args:
        groups: of the training images.
        labels: class of each, (N,), or None.
        sample: rows held in memory as the split `train`, ascending, (M,).
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
    """The order of the rows in an epoch if they are read by row group; depends on the arguments only.

    Row groups are shuffled, their sequence is cut at group boundaries into windows of about `buffer` rows, and rows are
    shuffled within each window. With all rows in one window, this is the order of images in memory.

    Args:
        bounds: first row of each row group, and the number of rows, (G + 1,).
        buffer: rows of a window, up to the end of its last group.
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
    """The training images of a stream, read and decoded on demand.

    Args:
        source: their locations.
        sample: the images in memory, from which backgrounds are borrowed.
        device: of the batches.
        needs: fields of a batch to fill besides its images.
        foregrounds: of the sample, if `needs` is not empty; its settings apply to all images.
        seed: of the run.

    Attributes:
        labels: class of each image, (N,), or None; an unreadable image has the label of its replacement.

    Raises:
        UserError: if too few masks are usable, or masks are shuffled.
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
        # A copy, because replaced images change their labels.
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
        """Memory of one training, not counting what all trainings share: two windows of encoded files."""
        groups = self._source.groups
        window = self._source.settings.buffer * int(groups.nbytes.sum()) // int(groups.starts[-1])
        return 2 * window

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The order of the rows in an epoch, on CPU."""
        return windowed_order(self._source.groups.bounds, self._source.settings.buffer, seed=self._seed, epoch=epoch)

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Announces the rows of coming batches, on CPU; they are decoded in the background."""
        rows = [batch.numpy() for batch in batches]
        self._announced = deque(rows)
        self._ahead = self._decoded(rows)

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The batch of some rows, given on CPU; immediate if it is the announced one."""
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
        """Records images that cannot be read.

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
