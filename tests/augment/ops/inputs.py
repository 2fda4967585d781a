"""What the op tests share: images worth distorting, and uniform numbers from another generator than ours."""

import torch
from torch import Tensor

from augment.views import Batch


def images(count: int, height: int = 32, width: int = 32) -> Tensor:
    """Noise with black, white, gray and one-colour images among it, in [0, 1]."""
    drawn = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    drawn[0], drawn[1], drawn[2] = 0.0, 1.0, 0.5
    drawn[3] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    drawn[4] = (drawn[4] > 0.5).float()  # channels tie for the largest
    return drawn


def batch(count: int, height: int = 32, width: int = 32) -> Batch:
    masks = torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(1))
    return Batch(images(count, height, width), masks)


def uniforms(count: int, slots: int, seed: int = 0) -> Tensor:
    return torch.rand(count, slots, generator=torch.Generator().manual_seed(seed))
