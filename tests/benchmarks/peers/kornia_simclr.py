"""The SimCLR transform in kornia: whole batches, each image with its own parameters. Imports nothing of ours."""

import kornia.augmentation as K
from torch import nn


def transform(size: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> nn.Module:
    kernel_size = 13  # wide enough for sigma 2
    return nn.Sequential(
        # cropping_mode="resample" gives the same crops as "slice", which loops over the images.
        K.RandomResizedCrop((size, size), scale=(0.2, 1.0), cropping_mode="resample", align_corners=False),
        K.RandomHorizontalFlip(),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((kernel_size, kernel_size), (0.1, 2.0), p=0.5),
        K.Normalize(mean, std),
    )
