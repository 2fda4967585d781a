"""Colour arithmetic that several ops share, over whole batches."""

import torch
from jaxtyping import Float
from torch import Tensor

# Weights of red, green and blue in perceived brightness (ITU-R BT.601, rounded as torchvision rounds them).
LUMA = (0.2989, 0.587, 0.114)


def luma(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Perceived brightness of each pixel, in the range of `images`."""
    red, green, blue = images.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def rotate_hue(images: Float[Tensor, "B 3 H W"], turns: Float[Tensor, "B"]) -> Float[Tensor, "B 3 H W"]:
    """Turn every pixel's hue, leaving its saturation and value.

    Args:
        images: in [0, 1].
        turns: by how much, in turns of the colour circle; 0 is the identity.

    Returns:
        Images in [0, 1]; pixels without colour stay as they are.

    Source: Smith, "Color gamut transform pairs" (SIGGRAPH 1978), the hexcone model. The way back needs no case per
        sextant: a channel is the largest one less the chroma times a trapezoid of its hue's distance from the pixel's.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # Where there is no chroma all differences are 0 too, so any divisor gives hue 0.
    inverse = 1 / chroma.clamp(min=torch.finfo(images.dtype).tiny)
    hue = torch.where(
        value == red,
        (green - blue) * inverse,
        torch.where(value == green, (blue - red) * inverse + 2, (red - green) * inverse + 4),
    )  # in sextants, (B, H, W)
    hue = hue + 6 * turns[:, None, None]
    channels = []
    for opposite in (3.0, 5.0, 1.0):  # the hue that lacks red, green, blue altogether
        distance = hue - opposite
        distance = (distance - 6 * torch.round(distance / 6)).abs()
        channels.append(value - chroma * (2 - distance).clamp(0, 1))
    return torch.stack(channels, dim=1)
