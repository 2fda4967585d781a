"""Reads row groups and decodes their images in threads, ahead of the training, with bounded memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from orchestrator.core.errors import UserError
from orchestrator.data.decoding import MAX_PIXELS, Square, Unreadable, square
from orchestrator.data.row_groups import Group, RowGroups

_AHEAD = 3  # batches decoded ahead of the current one
_TASK = 16  # images per task of a thread


@dataclass(frozen=True)
class StandIn:
    """A replacement for an image that cannot be decoded.

    Args:
        row: of the image that cannot be decoded.
        by: row of the replacement.
        why: name of the image and the error.
    """

    row: int
    by: int
    why: str


@dataclass(frozen=True)
class Squares:
    """A decoded batch.

    Args:
        images: RGB.
        masks: foreground coverage, all 0 without a usable mask; or None.
        stand_ins: replaced images.
    """

    images: UInt8[np.ndarray, "B S S 3"]
    masks: UInt8[np.ndarray, "B S S"] | None
    stand_ins: tuple[StandIn, ...]


def decoded(
    groups: RowGroups,
    batches: Sequence[Int64[np.ndarray, "_"]],
    *,
    size: int,
    masked: bool,
    buffer: int,
    threads: int,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Squares]:
    """The images of some rows, batch after batch.

    At most two buffers of rows are in memory as encoded files, or as many as one batch needs, and four batches as
    pixels. An image that cannot be decoded is replaced by the next one of its row group that can: always the same one,
    whatever the batch, worker or epoch.

    Args:
        groups: locations of the rows.
        batches: rows of the coming batches.
        size: side of the images in pixels.
        masked: whether to decode masks.
        buffer: rows in a shuffling window.
        threads: number of decoding threads; one more reads.
        max_pixels: a larger image counts as one that cannot be decoded.

    Raises:
        UserError: if a file cannot be read, or no image of a row group can be decoded.
    """
    reader, decoders = ThreadPoolExecutor(1), ThreadPoolExecutor(threads)
    held = _Held(groups, batches, limit=2 * buffer, reader=reader, masked=masked)
    begun: deque[_Begun] = deque()
    try:
        for rows in batches:
            held.fetch(rows)
            begun.append(_Begun(rows, held, decoders, size=size, masked=masked, max_pixels=max_pixels))
            if len(begun) > _AHEAD:
                yield begun.popleft().finish()
        while begun:
            yield begun.popleft().finish()
    finally:
        for pool in (decoders, reader):
            pool.shutdown(wait=False, cancel_futures=True)


class _Held:
    """The row groups in memory: those of the batches in progress, and the next ones."""

    def __init__(
        self,
        groups: RowGroups,
        batches: Sequence[Int64[np.ndarray, "_"]],
        *,
        limit: int,
        reader: ThreadPoolExecutor,
        masked: bool,
    ) -> None:
        self.groups, self._limit, self._reader, self._masked = groups, limit, reader, masked
        numbers = groups.of(np.concatenate(batches))
        found, first, counts = np.unique(numbers, return_index=True, return_counts=True)
        self._coming = deque(found[first.argsort()].tolist())
        self._left = dict(zip(found.tolist(), counts.tolist(), strict=True))  # rows not yet decoded
        self._read: dict[int, Future[Group]] = {}
        self._rows = 0

    def fetch(self, rows: Int64[np.ndarray, "B"]) -> None:
        """Starts reading the row groups of a batch, and the ones after it while there is room."""
        needed = set(self.groups.of(rows).tolist())
        while self._coming and (self._coming[0] in needed or self._rows + self._size(self._coming[0]) <= self._limit):
            number = self._coming.popleft()
            self._read[number] = self._reader.submit(self.groups.read, number, masked=self._masked)
            self._rows += self._size(number)

    def futures(self, rows: Int64[np.ndarray, "B"]) -> list[Future[Group]]:
        """The row group of each row."""
        return [self._read[number] for number in self.groups.of(rows).tolist()]

    def release(self, rows: Int64[np.ndarray, "B"]) -> None:
        """Frees row groups that are no longer needed."""
        numbers, counts = np.unique(self.groups.of(rows), return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._left[number] -= count
            if not self._left[number]:
                del self._read[number]
                self._rows -= self._size(number)

    def _size(self, number: int) -> int:
        return int(self.groups.starts[number + 1] - self.groups.starts[number])


class _Begun:
    """A batch in progress."""

    def __init__(
        self,
        rows: Int64[np.ndarray, "B"],
        held: _Held,
        decoders: ThreadPoolExecutor,
        *,
        size: int,
        masked: bool,
        max_pixels: int,
    ) -> None:
        self._rows, self._held, self._max_pixels = rows, held, max_pixels
        self._images = np.empty((len(rows), size, size, 3), np.uint8)
        self._masks = np.empty((len(rows), size, size), np.uint8) if masked else None
        places = [slice(start, start + _TASK) for start in range(0, len(rows), _TASK)]
        self._tasks = [decoders.submit(self._decode, part, held.futures(rows[part])) for part in places]

    def finish(self) -> Squares:
        """Waits for the batch."""
        stand_ins = tuple(one for task in self._tasks for one in task.result())
        self._held.release(self._rows)
        return Squares(self._images, self._masks, stand_ins)

    def _decode(self, part: slice, groups: list[Future[Group]]) -> list[StandIn]:
        stand_ins = []
        rows = self._rows[part].tolist()
        for place, row, group in zip(range(part.start, part.start + len(rows)), rows, groups, strict=True):
            made, replaced = _readable(group.result(), row, self._images.shape[1], self._max_pixels)
            stand_ins += replaced
            self._images[place] = made.image
            if self._masks is not None:
                self._masks[place] = made.mask
        return stand_ins


def _readable(group: Group, row: int, size: int, max_pixels: int) -> tuple[Square, list[StandIn]]:
    """The image of a row, or of the next decodable one in its group, and the replacements made."""
    bad: list[tuple[int, str]] = []
    count = len(group.offsets)
    for step in range(count):
        other = group.first + (row - group.first + step) % count
        name, image, mask = group.content(other)
        try:
            made = square(image, mask, size, max_pixels=max_pixels)
        except Unreadable as error:
            bad.append((other, f"{name} ({error})"))
        except Exception as error:
            error.add_note(f"while {name} was decoded")
            raise
        else:
            return made, [StandIn(number, other, why) for number, why in bad]
    raise UserError(f"none of the {count} images of a row group can be read: {bad[0][1]}, ...")
