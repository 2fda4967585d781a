"""Images that a GPU has no room for: they stay in the host's memory, and their batches are fetched from there ahead."""

from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from jaxtyping import Int64
from torch import Tensor

from augment import draws
from augment.views import Batch
from orchestrator.core import hardware
from orchestrator.data.foregrounds import Foregrounds
from orchestrator.data.images import ImageSet
from orchestrator.data.on_device import unit

_AHEAD = 3  # batches that are gathered, or being so, before the one that is taken


class HostImages:
    """The images of a split in the host's memory, handed out as `orchestrator.data.on_device` does.

    Args:
        source: the split; its images may be mapped from a file.
        device: where batches are wanted.
        needs: fields of a batch to fill beside its images, of which it has masks only.
        foregrounds: the split taken apart, if anything is needed.
        seed: of the run.

    Attributes:
        labels: class of each image on the device, (N,), or None.
    """

    capturable = False  # in CUDA graphs
    reason = "its images are fetched from the host's memory, since the GPU's has no room for them"

    def __init__(
        self,
        source: ImageSet,
        device: torch.device,
        *,
        needs: Collection[str],
        foregrounds: Foregrounds | None,
        seed: int,
    ) -> None:
        self._device, self._seed = device, seed
        self._planes = [torch.from_dlpack(source.images)]
        if foregrounds is not None and "masks" in needs:
            self._planes.append(torch.from_dlpack(foregrounds.masks))
        self.labels = None if source.labels is None else torch.from_dlpack(source.labels).to(device)
        self._pool = ThreadPoolExecutor(1)
        self._announced: deque[Int64[Tensor, "_"]] = deque()
        self._begun: deque[tuple[Int64[Tensor, "_"], Future[list[Tensor]]]] = deque()

    def __len__(self) -> int:
        return len(self._planes[0])

    @property
    def own_bytes(self) -> int:
        """Memory that a training takes for them beside what all share: none to speak of."""
        return 0

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The rows as an epoch visits them, on CPU."""
        return draws.permutation(self._seed, epoch, len(self))

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Be told the rows of the batches to come, on CPU, which are then gathered before they are asked for."""
        self._announced = deque(batches)
        self._begun.clear()
        self._begin()

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The images of some rows, on CPU, and what was needed; at once if they come as announced."""
        images, *masks = (hardware.sent(planes, self._device) for planes in self._gathered(rows))
        return Batch(unit(images.permute(0, 3, 1, 2)), unit(masks[0]) if masks else None)

    def _gathered(self, rows: Int64[Tensor, "B"]) -> list[Tensor]:
        if self._begun and torch.equal(rows, self._begun[0][0]):
            _, future = self._begun.popleft()
            self._begin()
            return future.result()
        return self._gather(rows, self._room(rows))

    def _begin(self) -> None:
        while self._announced and len(self._begun) < _AHEAD:
            rows = self._announced.popleft()
            self._begun.append((rows, self._pool.submit(self._gather, rows, self._room(rows))))

    def _room(self, rows: Int64[Tensor, "B"]) -> list[Tensor]:
        shapes = [(len(rows), *planes.shape[1:]) for planes in self._planes]
        pinned = self._device.type == "cuda"  # from where they are sent, else they would be copied there first
        return [torch.empty(shape, dtype=torch.uint8, pin_memory=pinned) for shape in shapes]

    def _gather(self, rows: Int64[Tensor, "B"], room: list[Tensor]) -> list[Tensor]:
        return [torch.index_select(planes, 0, rows, out=to) for planes, to in zip(self._planes, room, strict=True)]
