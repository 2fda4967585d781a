"""lightly's SimCLRTransform on PIL images, as its benchmarks use it; two views per call; imports nothing of ours."""

import torch
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor


def transform(size: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> SimCLRTransform:
    return SimCLRTransform(
        input_size=size,
        cj_strength=1.0,
        cj_bright=0.4,
        cj_contrast=0.4,
        cj_sat=0.4,
        cj_hue=0.1,
        min_scale=0.2,
        sigmas=(0.1, 2.0),
        normalize={"mean": list(mean), "std": list(std)},
    )


def views(images: list[Image.Image], augment: SimCLRTransform) -> Tensor:
    """Two views of each image, as (2 B, 3, size, size)."""
    return torch.stack([view for image in images for view in augment(image)])
