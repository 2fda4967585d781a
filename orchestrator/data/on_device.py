"""A split held on the device as bytes; batches come with everything that the run's augmentation needs."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from augment import draws, separation
from augment.views import Bank, Batch
from orchestrator.data.foregrounds import Foregrounds, lends
from orchestrator.data.images import ImageSet


class DeviceImages:
    """The images of a split on the device, with foregrounds and backgrounds if the run needs them.

    Args:
        source: the split.
        device: that holds it.
        needs: fields of a batch to fill besides its images.
        foregrounds: of the split, if `needs` is not empty.
        seed: of the run.

    Attributes:
        labels: class of each image, (N,), or None.

    Raises:
        UserError: if images borrow backgrounds, and too few images have a usable mask.
    """

    capturable = True  # in CUDA graphs
    reason = ""

    def __init__(
        self,
        source: ImageSet,
        device: torch.device,
        *,
        needs: Collection[str],
        foregrounds: Foregrounds | None,
        seed: int,
    ) -> None:
        # from_dlpack, because from_numpy warns about read-only arrays, and arrays in Ray's object store are read-only.
        self._images = torch.from_dlpack(source.images).to(device)
        self.labels = None if source.labels is None else torch.from_dlpack(source.labels).to(device)
        self._needs, self._seed = needs, seed
        self._masks: Tensor | None = None
        self._bank: Bank | None = None
        if foregrounds is not None and lends(needs):
            self._bank = foregrounds.bank(self._images, torch.arange(len(source), device=device), count=len(source))
            self._masks, self._lenders = self._bank.masks, separation.lenders(self._bank.masks)
        elif foregrounds is not None:
            self._masks = torch.from_dlpack(foregrounds.masks).to(device)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def own_bytes(self) -> int:
        """Memory of one training, not counting what all trainings share: none."""
        return 0

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The order of the rows in an epoch, on the device, so that no batch of indices is copied."""
        return draws.permutation(self._seed, epoch, len(self), device=self._images.device)

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Announces the rows of coming batches; does nothing, as all images are on the device."""

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The batch of some rows with the fields in `needs`."""
        rows = rows.to(self._images.device, non_blocking=True)
        images = unit(self._images[rows].permute(0, 3, 1, 2))
        masks = unit(self._masks[rows]) if self._masks is not None and "masks" in self._needs else None
        if self._bank is None:
            return Batch(images, masks)
        if "backgrounds" not in self._needs:
            return Batch(images, masks, bank=self._bank)
        return Batch(images, masks, unit(self._bank.backgrounds[rows]), lenders=self._lenders[rows], bank=self._bank)


def unit(planes: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes scaled to [0, 1]."""
    return planes.float() / 255
