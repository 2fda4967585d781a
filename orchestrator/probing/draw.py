"""Random numbers of a protocol, keyed by the row of the image."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from augment import draws


@dataclass(frozen=True)
class Draw:
    """Random numbers for some rows of a split, independent of how many rows there are and of their order.

    Args:
        seed: in [0, 2^64).
        rows: place of each image in its split.
        name: of the use of randomness, such as a corruption and its level.
    """

    seed: int
    rows: Int64[Tensor, "B"]
    name: str

    def uniform(self, what: str, *shape: int) -> Float[Tensor, "B ..."]:
        """Numbers in [0, 1), (B, *shape); another `what` gives independent ones."""
        stream = draws.stream(f"{self.name}/{what}")
        return draws.uniforms(self.seed, 0, self.rows, [stream], math.prod(shape))[0].view(-1, *shape)

    def between(self, low: float, high: float, what: str, *shape: int) -> Float[Tensor, "B ..."]:
        """Numbers in [low, high), (B, *shape)."""
        return low + (high - low) * self.uniform(what, *shape)

    def normal(self, what: str, *shape: int) -> Float[Tensor, "B ..."]:
        """Standard normal numbers, (B, *shape), by inversion of one uniform number each."""
        return torch.special.ndtri(self.uniform(what, *shape).double() + 2.0**-25).float()
