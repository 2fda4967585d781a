"""Coloured shapes on fractal noise: generated images of any size with labels and masks, for tests."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from augment import draws
from augment.config import Config as BaseConfig
from orchestrator.data.images import DatasetCard, ImageSet, fingerprint, require_split

FORMAT = "synthetic/1"  # raise it when a pixel changes
VARIANTS = ("original",)
OCTAVES = (2, 4, 8)  # grid sides of the noise; each is half as strong as the one before
NUM_BACKGROUND_DRAWS = 3 * sum(side * side for side in OCTAVES)
_CHUNK = 1 << 20  # pixels drawn at once: as floats they take twelve times the memory of the final bytes

# Signed distance to the outline, negative inside, for coordinates in units of the shape's radius (y points down).
SHAPES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda x, y: torch.hypot(x, y) - 1,  # disc
    lambda x, y: torch.maximum(x.abs(), y.abs()) - 0.85,  # square
    lambda x, y: (x.abs() + y.abs() - 1) / 2**0.5,  # diamond
    lambda x, y: torch.maximum(x.abs() * 0.866 - y * 0.5, y) - 0.5,  # triangle
    lambda x, y: torch.minimum(_bar(x, y), _bar(y, x)),  # cross
    lambda x, y: (torch.hypot(x, y) - 0.75).abs() - 0.25,  # ring
    lambda x, y: _bar(x, y),  # horizontal bar
    lambda x, y: _bar(y, x),  # vertical bar
)


class Config(BaseConfig):
    """How many shapes to draw, and how large.

    Args:
        name: `synthetic`.
        size: side of the images in pixels.
        num_classes: kinds of shapes.
        train_size: images of the splits `train` and `bank`, which are the same.
        validation_size: images of the split `validation`.
        test_size: images of the split `test/original`.
        seed: of all draws.
    """

    name: str = "synthetic"
    size: int = Field(32, ge=8, le=512)
    num_classes: int = Field(4, ge=2, le=len(SHAPES))
    train_size: int = Field(256, ge=1)
    validation_size: int = Field(128, ge=1)
    test_size: int = Field(128, ge=1)
    seed: int = Field(0, ge=0)


def card(config: Config) -> DatasetCard:
    """The card of the configured data set."""
    return DatasetCard(
        num_classes=config.num_classes,
        mean=(0.5, 0.5, 0.5),
        std=(0.17, 0.17, 0.17),
        size=config.size,
        train_size=config.train_size,
        licence="CC0-1.0",
        fingerprint=fingerprint(FORMAT, config.model_dump()),
        variants=VARIANTS,
        bank_is_train=True,
        has_masks=True,
    )


def load(config: Config, split: str) -> ImageSet:
    """Draws one split; labels cycle through the classes, so every split is balanced.

    Raises:
        ValueError: if there is no such split.
    """
    require_split(split, VARIANTS)
    drawn = "train" if split == "bank" else split
    count = {"train": config.train_size, "validation": config.validation_size}.get(drawn, config.test_size)
    rows = torch.arange(count)
    labels = rows % config.num_classes
    images = np.empty((count, config.size, config.size, 3), np.uint8)
    masks = np.empty((count, config.size, config.size), np.uint8)
    step = max(1, _CHUNK // config.size**2)
    for start in range(0, count, step):
        some = slice(start, start + step)
        images[some], masks[some] = _drawn(config, drawn, rows[some], labels[some])
    return ImageSet(images, labels.numpy(), masks)


def _drawn(config: Config, split: str, rows: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, S, S, 3) and masks (B, S, S) of some rows."""
    stream = draws.stream(f"{FORMAT}/{split}/shape")
    (u,) = draws.uniforms(config.seed, 0, rows, [stream], 6)  # (B, 6)
    masks = _masks(labels, u[:, :3], config.size)
    stream = draws.stream(f"{FORMAT}/{split}/background")
    (noise,) = draws.uniforms(config.seed, 0, rows, [stream], NUM_BACKGROUND_DRAWS)

    colours = u[:, 3:, None, None]
    images = torch.lerp(_fractal_noise(noise, config.size), colours, masks[:, None])
    return _bytes(images.permute(0, 2, 3, 1)), _bytes(masks)


def _masks(labels: Tensor, u: Float[Tensor, "N 3"], size: int) -> Float[Tensor, "N S S"]:
    """Coverage of each shape: radius 0.2 to 0.35 of the side, a pixel or more from the border, edges one pixel soft."""
    radius = ((0.2 + 0.15 * u[:, 0]) * size)[:, None, None]
    centre = radius + 1 + (size - 2 * radius - 2) * u[:, 1:, None, None].transpose(0, 1)  # (2, N, 1, 1)
    pixels = torch.arange(size) + 0.5
    x = (pixels[None, None, :] - centre[0]) / radius
    y = (pixels[None, :, None] - centre[1]) / radius
    x, y = torch.broadcast_tensors(x, y)
    distance = torch.empty_like(x)
    for shape in range(int(labels.max()) + 1):
        mine = labels == shape
        distance[mine] = SHAPES[shape](x[mine], y[mine])
    return (0.5 - distance * radius).clamp(0, 1)


def _bar(along: Tensor, across: Tensor) -> Tensor:
    return torch.maximum(along.abs() - 1, across.abs() - 0.35)


def _fractal_noise(u: Float[Tensor, "N D"], size: int) -> Float[Tensor, "N 3 S S"]:
    """Noise of several scales about 0.5, within [0, 1]."""
    total = u.new_zeros(len(u), 3, size, size)
    start, weight = 0, 0.5
    for side in OCTAVES:
        grid = u[:, start : start + 3 * side * side].reshape(-1, 3, side, side)
        total += weight * functional.interpolate(grid, size=(size, size), mode="bilinear", align_corners=True)
        start += 3 * side * side
        weight /= 2
    return total / (1 - 2 * weight)


def _bytes(values: Tensor) -> np.ndarray:
    return (values * 255).round().to(torch.uint8).numpy()
