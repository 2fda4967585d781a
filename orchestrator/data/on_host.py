"""Images that do not fit on the GPU: they stay in host memory, and batches are gathered ahead and copied."""

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

_AHEAD = 3  # batches gathered ahead of the current one


class HostImages:
    """The images of a split in host memory, with the interface of `orchestrator.data.on_device.DeviceImages`.

    Args:
        source: the split; its images may be mapped from a file.
        device: of the batches.
        needs: fields of a batch to fill besides its images; only masks are supported.
        foregrounds: of the split, if `needs` is not empty.
        seed: of the run.

    Attributes:
        labels: class of each image on the device, (N,), or None.
    """

    capturable = False  # in CUDA graphs
    reason = "its images stay in host memory, because they do not fit on the GPU"

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
        """Memory of one training, not counting what all trainings share: negligible."""
        return 0

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The order of the rows in an epoch, on CPU."""
        return draws.permutation(self._seed, epoch, len(self))

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Announces the rows of coming batches, on CPU; they are gathered in the background."""
        self._announced = deque(batches)
        self._begun.clear()
        self._begin()

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The batch of some rows, given on CPU; immediate if it is the announced one."""
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
        pinned = self._device.type == "cuda"  # else the copy to the GPU would go through pinned memory first
        return [torch.empty(shape, dtype=torch.uint8, pin_memory=pinned) for shape in shapes]

    def _gather(self, rows: Int64[Tensor, "B"], room: list[Tensor]) -> list[Tensor]:
        return [torch.index_select(planes, 0, rows, out=to) for planes, to in zip(self._planes, room, strict=True)]
