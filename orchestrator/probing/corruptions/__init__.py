"""The fifteen common corruptions at five levels each, made as they are needed.

Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations"
(arXiv 1903.12261), with the constants of the code that made ImageNet-C and CIFAR-10-C. What differs from those sets:
the random numbers; frost, which is drawn and not photographed; and no image is written as JPEG afterwards, as all of
ImageNet-C is.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from orchestrator.probing.corruptions import blur, digital, noise, weather
from orchestrator.probing.corruptions.severities import table
from orchestrator.probing.draw import Draw
from orchestrator.probing.features import planes

LEVELS = (1, 2, 3, 4, 5)
PIXELS_AT_ONCE = 1 << 19  # small enough to stay near the processor, large enough to keep it busy

# Functions of images in [0, 1], (B, 3, H, W), of a `Draw`, and of the constants of a level, by name.
_FUNCTIONS: tuple[Callable[..., Tensor], ...] = (
    noise.gaussian_noise,
    noise.shot_noise,
    noise.impulse_noise,
    blur.defocus_blur,
    blur.glass_blur,
    blur.motion_blur,
    blur.zoom_blur,
    weather.snow,
    weather.frost,
    weather.fog,
    weather.brightness,
    digital.contrast,
    digital.elastic_transform,
    digital.pixelate,
    digital.jpeg_compression,
)
CORRUPTIONS: Mapping[str, Callable[..., Tensor]] = {function.__name__: function for function in _FUNCTIONS}


def corrupted(
    images: UInt8[np.ndarray, "N H W 3"], name: str, level: int, *, seed: int
) -> UInt8[np.ndarray, "N H W 3"]:
    """Images under one corruption; an image's result depends on its row, and not on how many there are.

    Args:
        images: of any size from 16 pixels on; the constants are those published for the nearer of 32 and 224 pixels.
        name: one of `CORRUPTIONS`.
        level: in 1 to 5.
        seed: of all draws, in [0, 2^64).
    """
    height, width = images.shape[1:3]
    constants = table(max(height, width))[name][level - 1]
    result = np.empty_like(images)
    for rows in torch.arange(len(images)).split(max(1, PIXELS_AT_ONCE // (height * width))):
        values = planes(torch.from_numpy(images[rows.numpy()]))
        changed = CORRUPTIONS[name](values, Draw(seed, rows, f"{name}/{level}"), *constants).clamp(0, 1)
        # The published sets cut fractions off; what is added keeps whole numbers whole in spite of rounding.
        result[rows.numpy()] = (255 * changed + 1e-3).byte().permute(0, 2, 3, 1).numpy()
    return result
