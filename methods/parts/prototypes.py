"""Prototypes: directions that projections are scored against."""

import torch
from torch import nn
from torch.nn.functional import normalize


class Prototypes(nn.Linear):
    """Scores (B, C) of projections (B, P) are products with C unit vectors, which are trained.

    Args:
        num_dims: numbers in a projection, P.
        count: of the prototypes, C.
    """

    def __init__(self, num_dims: int, count: int) -> None:
        super().__init__(num_dims, count, bias=False)

    @torch.no_grad()
    def reset(self) -> None:
        """Put every prototype back on the unit sphere, where an optimiser's step does not keep it."""
        self.weight.copy_(normalize(self.weight, dim=1))
