"""Colour arithmetic that several ops share, over whole batches."""

import torch
from jaxtyping import Float
from torch import Tensor

from augment.constants import constant

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
        sextant: a channel is the largest one less the chroma times a trapezoid of the pixel's distance in hue from that
        channel's opposite.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # Where there is no chroma all differences are 0 too, so any divisor gives hue 0.
    inverse = (1 / 6) / chroma.clamp(min=torch.finfo(images.dtype).tiny)
    hue = torch.where(
        value == red,
        (green - blue) * inverse,
        torch.where(value == green, (blue - red) * inverse + 1 / 3, (red - green) * inverse + 2 / 3),
    )  # in turns, (B, H, W)
    hue += turns[:, None, None]
    # The hues that lack red, green and blue altogether.
    opposite = constant([1 / 2, 5 / 6, 1 / 6], images)[:, None, None]
    # In place from here on: on CPU, fresh memory costs more than the arithmetic.
    share = hue[:, None] - opposite  # (B, 3, H, W)
    share = share.sub_(share.round()).abs_().mul_(-6).add_(2).clamp_(0, 1)
    return torch.addcmul(value[:, None], chroma[:, None], share, value=-1)
