"""A memory bank of rows of past batches, for losses that compare with more images than a batch holds."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize


class MemoryBank(nn.Module):
    """A ring buffer of the newest rows. All state is in buffers, so a state dict holds it.

    Until rows are written, their places hold seeded unit vectors (`methods.parts.initial` draws them).

    Args:
        size: number of rows kept, K.
        num_dims: numbers in a row, P.
    """

    def __init__(self, size: int, num_dims: int) -> None:
        super().__init__()
        self.rows: Float[Tensor, "K P"]
        self.count: Tensor  # of rows ever written; the next one is written at its remainder
        self.register_buffer("rows", torch.zeros(size, num_dims))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def reset(self, noise: Float[Tensor, "K P"]) -> None:
        """Replace all rows by the directions of some noise."""
        self.rows.copy_(normalize(noise, dim=1))
        self.count.zero_()

    @torch.no_grad()
    def enqueue(self, rows: Float[Tensor, "B P"]) -> None:
        """Overwrite the oldest rows, wrapping around; of more than K rows the last K are kept."""
        size = len(self.rows)
        rows = rows[-size:]
        places = (self.count + torch.arange(len(rows), device=rows.device)) % size
        self.rows.index_copy_(0, places, rows)
        self.count += len(rows)

    def written(self) -> Bool[Tensor, "K"]:
        """Which rows came from a batch."""
        return torch.arange(len(self.rows), device=self.rows.device) < self.count
