"""A split on the device, as bytes, handed out in batches with whatever the run's augmentation needs of it."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from augment import draws, separation
from augment.views import Bank, Batch
from orchestrator.data.foregrounds import Foregrounds, lends
from orchestrator.data.images import ImageSet


class DeviceImages:
    """The images of a split, and what was made of their masks if somebody needs it.

    Args:
        source: the split.
        device: where to hold it.
        needs: fields of a batch to fill beside its images.
        foregrounds: the split taken apart, if anything is needed.
        seed: of the run.

    Attributes:
        labels: class of each image, (N,), or None.

    Raises:
        UserError: if backgrounds are to be borrowed, and too few images have a usable mask.
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
        # from_dlpack, because from_numpy warns of arrays that must not be written, as those in a shared store are.
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
        """Memory that a training takes for them beside what all share: none."""
        return 0

    def order(self, epoch: int) -> Int64[Tensor, "N"]:
        """The rows as an epoch visits them, on the device, so that no batch of them has to be sent there."""
        return draws.permutation(self._seed, epoch, len(self), device=self._images.device)

    def read_ahead(self, batches: Sequence[Int64[Tensor, "_"]]) -> None:
        """Be told the rows of the batches to come; everything is here already."""

    def batch(self, rows: Int64[Tensor, "B"]) -> Batch:
        """The images of some rows and what was needed, ready for a pipeline."""
        rows = rows.to(self._images.device, non_blocking=True)
        images = unit(self._images[rows].permute(0, 3, 1, 2))
        masks = unit(self._masks[rows]) if self._masks is not None and "masks" in self._needs else None
        if self._bank is None:
            return Batch(images, masks)
        if "backgrounds" not in self._needs:
            return Batch(images, masks, bank=self._bank)
        return Batch(images, masks, unit(self._bank.backgrounds[rows]), lenders=self._lenders[rows], bank=self._bank)


def unit(planes: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes as numbers in [0, 1]."""
    return planes.float() / 255
