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
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def rotate_hue_(images: Float[Tensor, "B 3 H W"], turns: Float[Tensor, "B"]) -> None:
    """Turn every pixel's hue in place, leaving its saturation and value.

    Args:
        images: in [0, 1]; pixels without colour stay as they are.
        turns: by how much, in turns of the colour circle; 0 is the identity.

    Source: Smith, "Color gamut transform pairs" (SIGGRAPH 1978), the hexcone model, here without its case per sextant,
        which is slow to choose. The distance from red, whichever way, is (1 + (green + blue - red - least) / chroma)
        / 6 turns, and green - blue says which way; on the way back a channel is the largest one less the chroma times a
        trapezoid of the pixel's distance in hue from that channel's opposite.
    """
    red, green, blue = images.unbind(1)
    value, least = torch.maximum(green, blue), torch.minimum(green, blue)
    # In place where it can be: on CPU, fresh memory costs more than the arithmetic.
    distance = (value + least).sub_(red)
    value, least = torch.maximum(value, red), torch.minimum(least, red)
    chroma = value - least
    # Without chroma the hue does not matter, so any divisor will do.
    distance = distance.sub_(least).div_(chroma.clamp(min=torch.finfo(images.dtype).tiny)).add_(1)
    sextants = torch.copysign(distance, green - blue)  # (B, H, W)
    # Less the hues that lack red, green and blue altogether, and two turns more, which leaves none below 0.
    turned = turns[:, None] + constant([3 / 2, 7 / 6, 11 / 6], images)
    # (B, 3, H, W): how near a whole number of turns it is, as 1/2 less the distance, where the trapezoid is not level.
    near = torch.add(turned[:, :, None, None], sextants[:, None], alpha=1 / 6).frac_()
    near = near.sub_(1 / 2).abs_().clamp_(1 / 6, 1 / 3)
    images.copy_((value + chroma)[:, None]).addcmul_(chroma[:, None], near, value=-6).clamp_(0, 1)
