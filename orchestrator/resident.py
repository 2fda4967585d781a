"""A split on the device, as bytes, handed out in batches with whatever the run's augmentation needs of it."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from augment import draws, separation
from augment.views import Bank, Batch
from orchestrator.errors import UserError
from orchestrator.images import ImageSet


class Resident:
    """The images of a split, and what is made of their masks if somebody needs it; else masks cost nothing.

    Masks take a third of the images' memory, completed backgrounds as much as the images. Both are made here, in about
    a second for 10,000 images of 32 pixels on one core.

    Args:
        source: the split.
        device: where to hold it.
        needs: fields of a batch to fill beside its images.
        how: to take foreground and background apart.
        seed: of the run.

    Attributes:
        labels: class of each image, (N,), or None.

    Raises:
        UserError: if masks are needed and the split has none, or too few that are usable.
    """

    def __init__(
        self, source: ImageSet, device: torch.device, *, needs: Collection[str], how: separation.Config, seed: int
    ) -> None:
        # from_dlpack, because from_numpy warns of arrays that must not be written, as those in a shared store are.
        self._images = torch.from_dlpack(source.images).to(device)
        self.labels = None if source.labels is None else torch.from_dlpack(source.labels).to(device)
        self._needs, self._seed = needs, seed
        self._masks: Tensor | None = None
        self._bank: Bank | None = None
        if not needs:
            return
        rows = torch.arange(len(source), device=device)
        self._masks = foregrounds(source, how, seed, rows)
        if {"bank", "backgrounds"} & set(needs):
            self._bank = lending(self._images, self._masks, how, rows=rows, count=len(source))
            self._lenders = separation.lenders(self._masks)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def made_bytes(self) -> int:
        """Memory of what was made of the images: masks and backgrounds."""
        made = (self._masks, None if self._bank is None else self._bank.backgrounds)
        return sum(plane.nbytes for plane in made if plane is not None)

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


def foregrounds(
    source: ImageSet, how: separation.Config, seed: int, rows: Int64[Tensor, "N"]
) -> UInt8[Tensor, "N 1 H W"]:
    """The masks of a split as they are to be read, on the device of `rows`, which are its images' in the data set.

    Raises:
        UserError: if it has none.
    """
    if source.masks is None:
        raise UserError("run.dataset must have masks, since other backgrounds are asked for: drop those, or add masks")
    return separation.foregrounds(torch.from_dlpack(source.masks).to(rows.device)[:, None], how, seed, rows)


def lending(
    images: UInt8[Tensor, "N H W 3"],
    masks: UInt8[Tensor, "N 1 H W"],
    how: separation.Config,
    *,
    rows: Int64[Tensor, "N"],
    count: int,
) -> Bank:
    """The bank that some images of a data set make, by their rows in it and the number of all its rows.

    Raises:
        UserError: if too few have a usable mask.
    """
    try:
        return separation.bank(images.permute(0, 3, 1, 2), masks, how, rows=rows, count=count)
    except ValueError as error:
        raise UserError(f"run.dataset cannot lend backgrounds: {error}") from error


def unit(planes: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes as numbers in [0, 1]."""
    return planes.float() / 255
