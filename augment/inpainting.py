"""Inpainting: two ways to fill the hole of a foreground from the pixels around it, for whole batches."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

# Coverage from which a pixel belongs to the hole, of 255: what stays shows less than this share (1/20) of foreground.
HOLE = 13


def tiled(images: UInt8[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B 1 H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Fill the bounding box of each foreground with the largest strip next to it, mirrored repeatedly.

    Args:
        images: 0 to 255.
        masks: coverage of the foreground to remove, 0 to 255.

    Returns:
        The images without their foreground; where its box is the whole frame, as `diffused` fills it.

    Source: Only-BG-T of the backgrounds challenge (arXiv 2006.09994) fills the box by tiling; which strip, as the code
        of object-aware contrastive learning (arXiv 2108.00049) chooses it. Both repeat the strip; ours is mirrored, so
        that it shows no seam.
    """
    height, width = images.shape[-2:]
    hole = masks[:, 0] >= HOLE
    (top, bottom), (left, right) = _extent(hole.any(2)), _extent(hole.any(1))  # each (B, 1, 1)
    y = torch.arange(height, device=images.device)[None, :, None]
    x = torch.arange(width, device=images.device)[None, None, :]
    depths = torch.cat((top, height - bottom, left, width - right), dim=1)  # of the four strips, (B, 4, 1)
    areas = depths * torch.tensor([width, width, height, height], device=images.device)[:, None]
    strip = areas.argmax(1, keepdim=True)
    from_above, from_below = top - 1 - _mirrored(y - top, top), bottom + _mirrored(bottom - 1 - y, height - bottom)
    from_left, from_right = left - 1 - _mirrored(x - left, left), right + _mirrored(right - 1 - x, width - right)
    row = torch.where(strip == 0, from_above, torch.where(strip == 1, from_below, y))
    column = torch.where(strip == 2, from_left, torch.where(strip == 3, from_right, x))
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    place = torch.where(inside, (row * width + column).clamp(min=0), y * width + x).flatten(1)
    filled = images.flatten(2).gather(2, place[:, None].expand(-1, 3, -1)).unflatten(2, (height, width))
    framed = (depths == 0).all(1).flatten()
    if framed.any():
        filled[framed] = diffused(images[framed], masks[framed])
    return filled


def diffused(images: UInt8[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B 1 H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Diffuse the colours around each foreground into its hole, the smoother the farther from its edge.

    Args:
        images: 0 to 255.
        masks: coverage of the foreground to remove, 0 to 255.

    Returns:
        The images without their foreground; black where all was foreground.

    Source: the push-pull algorithm of Gortler et al., "The lumigraph" (SIGGRAPH 1996), section 3.4, with means of 2 x 2
        known pixels and bilinear enlargement.
    """
    known = (masks < HOLE).float()
    filled = _pushed(images.contiguous().float() * known, known)
    return torch.where(masks < HOLE, images, filled.round().to(torch.uint8))


def _pushed(colours: Float[Tensor, "B 3 H W"], known: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The colours with every unknown pixel taken from a coarser image; unknown ones must be 0."""
    if max(colours.shape[-2:]) == 1:
        return colours
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = F.avg_pool2d(colours, 2, ceil_mode=True) / share.clamp(min=1e-6)
    coarse = _pushed(coarse, (share > 0).float())
    enlarged = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., : colours.shape[-2], : colours.shape[-1]]
    return torch.where(known > 0, colours, enlarged)


def _extent(hit: Bool[Tensor, "B side"]) -> tuple[Int64[Tensor, "B 1 1"], Int64[Tensor, "B 1 1"]]:
    """The first true place of each row, and one past the last; 0 and 0 if there is none."""
    side = hit.shape[1]
    first, last = hit.int().argmax(1), side - hit.flip(1).int().argmax(1)
    return first[:, None, None], torch.where(hit.any(1), last, 0)[:, None, None]


def _mirrored(distance: Int64[Tensor, "..."], depth: Int64[Tensor, "B 1 1"]) -> Int64[Tensor, "..."]:
    """Depth in a mirrored strip at a distance from it: a triangle wave."""
    period = 2 * depth.clamp(min=1)
    along = distance % period
    return torch.minimum(along, period - 1 - along)
