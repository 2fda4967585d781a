"""The SimCLR transform of a typical training script: torchvision v2, one image at a time; imports nothing of ours."""

import torch
from torch import Tensor
from torchvision.transforms import v2


def transform(size: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> v2.Compose:
    kernel_size = 13  # wide enough for sigma 2
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(kernel_size, sigma=(0.1, 2.0))], p=0.5),
            v2.Normalize(mean, std),
        ]
    )


def views(images: Tensor, augment: v2.Compose) -> Tensor:
    """One view of each image of a (B, 3, H, W) batch."""
    return torch.stack([augment(image) for image in images])
