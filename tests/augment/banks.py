"""Images with foregrounds in them, and banks that tell who lent what."""

import torch
from torch import Tensor

from augment.views import Bank, Batch


def blobs(count: int, side: int = 16, seed: int = 0) -> Tensor:
    """Soft discs of random place and size, 0 to 255, (count, 1, side, side)."""
    drawn = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    radius = (0.15 + 0.15 * drawn[:, 0]) * side
    top, left = (radius + (side - 2 * radius) * drawn[:, axis] for axis in (1, 2))
    distance = torch.hypot(y - top[:, None, None], x - left[:, None, None])
    return ((radius[:, None, None] - distance + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)[:, None]


def noise(count: int, side: int = 16, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def signed_bank(count: int, side: int = 16) -> Bank:
    """Every background has one colour, that of its row, and every foreground another: who lent it can be read."""
    background = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, side, side).contiguous()
    masks, rows = blobs(count, side), torch.arange(count)
    images = (background + 128 * (masks / 255)).round().to(torch.uint8)  # at most 255 for 128 images
    return Bank(images, masks, background, rows, rows)


def batch_of(bank: Bank, rows: Tensor) -> Batch:
    planes = (plane[rows].float() / 255 for plane in (bank.images, bank.masks, bank.backgrounds))
    return Batch(*planes, rows=rows, bank=bank)
