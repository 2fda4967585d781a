"""Composites: garments, tinted and moved, in front of background windows."""

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from augment import draws
from orchestrator.data.images import ImageSet
from orchestrator.datasets.fashion_scenes.ingredients import FAMILIES, SIZE, Windows

VARIANTS = (
    "original",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
    "only_fg",
    "no_fg",
    "only_bg_b",
    "only_bg_t",
)
SCALE = (0.8, 1.1)
SHIFT = 2.0  # pixels, each way
DARKEST_TINT = 0.4  # of a channel of the tint; the brightest is 1
LEAST_TILE = 2  # pixels; the window behind the garment is clean, so a tile may reach under it
BLOCK = 2000  # images composed at once, which bounds the memory


def compose(
    cutouts: UInt8[np.ndarray, "N 28 28"], windows: Windows, *, split: str, variant: str, rho: float, seed: int
) -> ImageSet:
    """One image, label and mask per cut-out.

    Args:
        cutouts: grey, 0 outside the garment; row i has class i mod 10.
        windows: backgrounds of the same part.
        split: names the random stream, so that every split has its own draws.
        variant: one of `VARIANTS`; masks show the garment, even if the variant removes it.
        rho: correlation of class and background in `original`, see `families`.
        seed: of all draws.
    """
    count = len(cutouts)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((count, SIZE, SIZE), np.uint8)
    labels = torch.arange(count) % len(FAMILIES)
    names_and_slots = (("foreground", 6), ("background", 5))
    streams = [(draws.stream(f"fashion_scenes/{split}/{name}"), slots) for name, slots in names_and_slots]
    for start in range(0, count, BLOCK):
        block = slice(start, min(start + BLOCK, count))
        rows = torch.arange(block.start, block.stop)
        foreground_draws, background_draws = draws.uniform_slices(seed, 0, rows, streams)
        garment, mask = _tinted(torch.from_numpy(cutouts[block]), foreground_draws)
        chosen = families(labels[block], variant, rho, background_draws[:, :2])
        background = windows.cut(chosen, background_draws[:, 2:]).permute(0, 3, 1, 2).float() / 255
        images[block] = as_bytes(_combine(variant, garment, mask, background).permute(0, 2, 3, 1))
        masks[block] = as_bytes(mask[:, 0])
    return ImageSet(images=images, labels=labels.numpy(), masks=masks)


def families(labels: Int64[Tensor, "B"], variant: str, rho: float, u: Float[Tensor, "B 2"]) -> Int64[Tensor, "B"]:
    """The background family of each image.

    Args:
        labels: classes, 0 to 9; class c owns family c.
        variant: `original` takes the own family with probability rho and otherwise any of the ten, so that rho = 0
            makes background and class independent; `mixed_rand` takes any other family, `mixed_next` that of the next
            class, and all others take the own.
        rho: in [0, 1].
        u: uniform numbers in [0, 1).

    Source: Xiao et al., "Noise or signal" (arXiv 2006.09994), section 2. There, Mixed-Rand may draw the own class, and
        class and background are correlated as in ImageNet; here the correlation is a setting.
    """
    others = len(FAMILIES) - 1
    if variant == "original":
        return torch.where(u[:, 0] < rho, labels, (u[:, 1] * len(FAMILIES)).long())
    if variant == "mixed_rand":
        return (labels + 1 + (u[:, 1] * others).long()) % len(FAMILIES)
    if variant == "mixed_next":
        return (labels + 1) % len(FAMILIES)
    return labels


def _tinted(
    cutouts: UInt8[Tensor, "B 28 28"], u: Float[Tensor, "B 6"]
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]]:
    """Tint, scale and shift; the garment comes premultiplied with its mask."""
    layers = torch.stack((cutouts.float() / 255, (cutouts > 0).float()), dim=1)
    placed = place(layers, u[:, :3], SIZE)
    tint = DARKEST_TINT + (1 - DARKEST_TINT) * u[:, 3:, None, None]
    return placed[:, :1] * tint, placed[:, 1:]


def place(layers: Float[Tensor, "B L C C"], u: Float[Tensor, "B 3"], size: int) -> Float[Tensor, "B L S S"]:
    """Scales and shifts a foreground; zero around it.

    Args:
        layers: of the foreground, drawn for the scale 1.
        u: uniform numbers in [0, 1) that choose the scale in `SCALE`, and the shifts to the right and down.
        size: side S of the scene in pixels; the largest shift is `SHIFT` of a scene of 32.
    """
    scale = (SCALE[0] + (SCALE[1] - SCALE[0]) * u[:, 0])[:, None, None]
    shift = SHIFT * size / SIZE * (2 * u[:, 1:] - 1)[:, None, :]
    pixels = torch.arange(size) + 0.5 - size / 2
    grid = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), dim=-1).reshape(1, -1, 2)  # (1, S*S, 2), x first
    source = ((grid - shift) / scale / (layers.shape[-1] / 2)).reshape(-1, size, size, 2)  # half a cut-out is 1
    return functional.grid_sample(layers, source, mode="bilinear", padding_mode="zeros", align_corners=False)


def _combine(
    variant: str,
    garment: Float[Tensor, "B 3 S S"],
    mask: Float[Tensor, "B 1 S S"],
    background: Float[Tensor, "B 3 S S"],
) -> Float[Tensor, "B 3 S S"]:
    """The image of a variant, from garment and background.

    Source: the variants of ImageNet-9 (Xiao et al., arXiv 2006.09994, figure 2). There, the background behind the
        object is unknown and has to be filled in; here it is known, and only `only_bg_t` tiles.
    """
    if variant == "only_fg":
        return garment
    if variant == "no_fg":
        return background * (1 - mask)
    if variant == "only_bg_b":
        return background * ~_box(mask)
    if variant == "only_bg_t":
        return torch.where(_box(mask), _tiled(mask, background), background)
    return background * (1 - mask) + garment


def _extent(mask: Float[Tensor, "B 1 S S"]) -> Int64[Tensor, "B 2 2"]:
    """First and last-plus-one row and column of the garment: [axis (y, x), end]."""
    touched = mask[:, 0] > 0
    along = torch.stack((touched.any(dim=2), touched.any(dim=1)), dim=1).int()  # (B, 2, S)
    return torch.stack((along.argmax(-1), SIZE - along.flip(-1).argmax(-1)), dim=-1)


def _box(mask: Float[Tensor, "B 1 S S"]) -> Tensor:
    """Whether a pixel lies in the garment's bounding box, (B, 1, S, S)."""
    first, last = _extent(mask).unbind(-1)
    pixels = torch.arange(SIZE)
    inside = (pixels >= first[..., None]) & (pixels < last[..., None])  # (B, 2, S)
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def _tiled(mask: Float[Tensor, "B 1 S S"], background: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
    """The whole frame filled by repeating the thickest strip above, below, left or right of the garment's box."""
    first, last = _extent(mask).unbind(-1)  # (B, 2) each
    thickness = torch.stack((first, SIZE - last), dim=-1).flatten(1)  # (B, 4): above, below, left, right
    best = thickness.argmax(dim=1)
    tile = thickness.gather(1, best[:, None]).clamp(min=LEAST_TILE)  # (B, 1)
    start = torch.where(best[:, None] % 2 == 0, 0, SIZE - tile)
    pixels = torch.arange(SIZE)
    repeated = start + (pixels - start) % tile  # (B, S)
    vertical = best[:, None] < 2
    rows = torch.where(vertical, repeated, pixels)
    columns = torch.where(vertical, pixels, repeated)
    batch = torch.arange(len(mask))[:, None, None]
    return background.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def as_bytes(values: Tensor) -> np.ndarray:
    """Values in [0, 1] as bytes."""
    return (values * 255).round().to(torch.uint8).numpy()
