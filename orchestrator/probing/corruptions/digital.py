"""What images undergo in a computer: contrast, elastic deformation, large pixels, and JPEG."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from orchestrator.probing.corruptions.filters import gaussian_blurred
from orchestrator.probing.draw import Draw
from orchestrator.probing.features import planes


def contrast(images: Float[Tensor, "B 3 H W"], draw: Draw, factor: float) -> Float[Tensor, "B 3 H W"]:
    """Distances from the image's mean colour, times `factor`."""
    return torch.lerp(images.mean(dim=(2, 3), keepdim=True), images, factor)


def elastic_transform(
    images: Float[Tensor, "B 3 H W"], draw: Draw, size: float, sigma: float, corner: float
) -> Float[Tensor, "B 3 H W"]:
    """An affine map that moves three points, then a smooth displacement of every pixel.

    Args:
        images: in [0, 1].
        draw: of both.
        size: of the displacement, before it is smoothed, as a share of the image's side.
        sigma: of the smoothing, as a share of the side.
        corner: largest shift of each of the three points along each axis, as a share of the side.
    """
    height, width = images.shape[-2:]
    x, y = torch.meshgrid(torch.arange(float(width)), torch.arange(float(height)), indexing="xy")
    pixels = torch.stack((x, y), dim=-1)  # (H, W, 2)
    side = max(height, width)
    moved = _sampled(images, _affine(pixels, draw, corner * side), mirrored_at_centres=True)
    noise = draw.between(-size * side, size * side, "shift", 2, height, width)
    shifts = gaussian_blurred(noise, sigma * side, truncate=3.0, edge="reflect")
    return _sampled(moved, pixels + shifts.permute(0, 2, 3, 1), mirrored_at_centres=False)


def _affine(pixels: Float[Tensor, "H W 2"], draw: Draw, corner: float) -> Float[Tensor, "B H W 2"]:
    """Where each pixel comes from under the map that moves three corners of a square in the middle."""
    height, width = pixels.shape[:2]
    x, y, side = height // 2, width // 2, min(height, width) // 3
    before = pixels.new_tensor([[x + side, y + side], [x + side, y - side], [x - side, y - side]])
    after = before + draw.between(-corner, corner, "corner", 3, 2)
    back = torch.linalg.solve(functional.pad(after, (0, 1), value=1), before)  # (B, 3, 2)
    return functional.pad(pixels, (0, 1), value=1) @ back[:, None]


def _sampled(
    images: Float[Tensor, "B 3 H W"], points: Float[Tensor, "B H W 2"], *, mirrored_at_centres: bool
) -> Float[Tensor, "B 3 H W"]:
    """Images at points (x, y) in pixels, bilinear; mirrored at the edge of the images or at its pixels' centres."""
    sides = points.new_tensor([images.shape[3], images.shape[2]])
    grid = 2 * points / (sides - 1) - 1 if mirrored_at_centres else (2 * points + 1) / sides - 1
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=mirrored_at_centres)


def pixelate(images: Float[Tensor, "B 3 H W"], draw: Draw, factor: float) -> Float[Tensor, "B 3 H W"]:
    """Brought to `factor` of the size and back, by boxes."""

    def coarse(image: Image.Image) -> Image.Image:
        width, height = image.size
        small = image.resize((int(width * factor), int(height * factor)), Image.Resampling.BOX)
        return small.resize((width, height), Image.Resampling.BOX)

    return _each(images, coarse)


def jpeg_compression(images: Float[Tensor, "B 3 H W"], draw: Draw, quality: int) -> Float[Tensor, "B 3 H W"]:
    """Written as JPEG of `quality` in [1, 95], and read again."""

    def rewritten(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, rewritten)


def _each(images: Float[Tensor, "B 3 H W"], change: Callable[[Image.Image], Image.Image]) -> Float[Tensor, "B 3 H W"]:
    """Pillow's work, one image at a time."""
    pixels = (255 * images).round().byte().permute(0, 2, 3, 1).numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])
    return planes(torch.from_numpy(changed))
