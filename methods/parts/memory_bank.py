"""A memory bank of rows of past batches, for losses that compare with more images than a batch holds."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize


class MemoryBank(nn.Module):
    """The newest rows; the oldest are overwritten first. All of it is buffers, so a state dict holds it.

    Until rows are written, seeded unit vectors stand in their places (`methods.parts.initial` draws them).

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
        """Forget what was written, and put the directions of some noise in its place."""
        self.rows.copy_(normalize(noise, dim=1))
        self.count.zero_()

    @torch.no_grad()
    def enqueue(self, rows: Float[Tensor, "B P"]) -> None:
        """Write rows over the oldest ones, around the end where need be; of more than K the last K."""
        size = len(self.rows)
        rows = rows[-size:]
        places = (self.count + torch.arange(len(rows), device=rows.device)) % size
        self.rows.index_copy_(0, places, rows)
        self.count += len(rows)

    def written(self) -> Bool[Tensor, "K"]:
        """Which rows came from a batch."""
        return torch.arange(len(self.rows), device=self.rows.device) < self.count
