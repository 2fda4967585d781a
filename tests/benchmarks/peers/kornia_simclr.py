"""The SimCLR transform in kornia: whole batches, each image with its own parameters. Imports nothing of ours."""

import kornia.augmentation as K
from torch import nn


def transform(size: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> nn.Module:
    taps = 13  # what sigma 2 needs
    return nn.Sequential(
        # Two ways to the same crop; the other one, by slices, goes through the images one by one.
        K.RandomResizedCrop((size, size), scale=(0.2, 1.0), cropping_mode="resample", align_corners=False),
        K.RandomHorizontalFlip(),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=0.5),
        K.Normalize(mean, std),
    )
