"""Composites: sprites, moved and scaled, in front of the background windows of fashion_scenes."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from augment import draws
from orchestrator.data.images import ImageSet
from orchestrator.datasets.emoji_scenes.sprites import Sprites
from orchestrator.datasets.fashion_scenes.composition import BLOCK, as_bytes, families, place
from orchestrator.datasets.fashion_scenes.ingredients import FAMILIES, Windows


def compose(sprites: Sprites, windows: Windows, count: int, *, split: str, rho: float, seed: int) -> ImageSet:
    """Images, labels and masks; row i has class i mod 10.

    Args:
        sprites: at least one of each class.
        windows: backgrounds, of the size of the images.
        count: of the images.
        split: names the random stream, so that every split has its own draws.
        rho: correlation of class and background, see `families`.
        seed: of all draws.
    """
    labels = torch.arange(count) % len(FAMILIES)
    shown = taken_in_turn(sprites.classes, count, draws.derive_seed(seed, f"emoji_scenes/{split}"))
    images = np.empty((count, windows.size, windows.size, 3), np.uint8)
    masks = np.empty((count, windows.size, windows.size), np.uint8)
    streams = [(draws.stream(f"emoji_scenes/{split}/{name}"), n) for name, n in (("foreground", 3), ("background", 5))]
    for rows in torch.arange(count).split(BLOCK):
        block = slice(int(rows[0]), int(rows[-1]) + 1)
        foreground_draws, background_draws = draws.uniform_slices(seed, 0, rows, streams)
        layers = sprites.pixels[shown[block]].permute(0, 3, 1, 2).float() / 255
        placed = place(layers, foreground_draws, windows.size)
        chosen = families(labels[block], "original", rho, background_draws[:, :2])
        background = windows.cut(chosen, background_draws[:, 2:]).permute(0, 3, 1, 2).float() / 255
        scene = background * (1 - placed[:, 3:]) + placed[:, :3]
        images[block] = as_bytes(scene.permute(0, 2, 3, 1))
        masks[block] = as_bytes(placed[:, 3])
    return ImageSet(images=images, labels=labels.numpy(), masks=masks)


def taken_in_turn(classes: Int64[Tensor, "K"], count: int, seed: int) -> Int64[Tensor, "count"]:
    """The sprite of each row: those of its class in shuffled order, repeated, so that all are used equally often.

    Args:
        classes: of the sprites, each at least once.
        count: of rows; row i has class i mod 10.
        seed: of the order.
    """
    shown = torch.empty(count, dtype=torch.int64)
    for label in range(len(FAMILIES)):
        own = torch.nonzero(classes == label)[:, 0]
        order = own[draws.permutation(seed, label, len(own))]
        rows = shown[label :: len(FAMILIES)]
        rows[:] = order[torch.arange(len(rows)) % len(order)]
    return shown
