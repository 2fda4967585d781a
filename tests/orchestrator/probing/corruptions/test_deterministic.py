"""Corruptions without chance, against SciPy, scikit-image and Pillow as the published code uses them."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import color

from orchestrator.probing.corruptions import corrupted
from orchestrator.probing.corruptions.blur import soft_disc
from orchestrator.probing.corruptions.severities import LARGE, SMALL
from tests.orchestrator.probing.corruptions.pictures import pictures

# Published sets cut off fractions, so a value that is whole but for rounding may come out one lower.
CLOSE = {"atol": 1, "rtol": 0}


def zoomed(image: np.ndarray, zoom: float) -> np.ndarray:
    side = len(image)
    part = math.ceil(side / zoom)
    start = (side - part) // 2
    large = ndimage.zoom(image[start : start + part, start : start + part], (zoom, zoom, 1), order=1)
    start = (len(large) - side) // 2
    return large[start : start + side, start : start + side]


def zoom_blur(image: np.ndarray, step: float, count: int) -> np.ndarray:
    zooms = np.arange(1, 1 + step * (count - 0.5), step)
    assert len(zooms) == count
    return (image + sum(zoomed(image, zoom) for zoom in zooms)) / (count + 1)


def brightness(image: np.ndarray, more: float) -> np.ndarray:
    hsv = color.rgb2hsv(image)
    hsv[..., 2] = np.clip(hsv[..., 2] + more, 0, 1)
    return color.hsv2rgb(hsv)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = image.mean(axis=(0, 1))
    return (image - mean) * factor + mean


def defocus_blur(image: np.ndarray, radius: float, softness: float) -> np.ndarray:
    half = 8 if radius <= 8 else int(radius)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = (x**2 + y**2 <= radius**2) / (x**2 + y**2 <= radius**2).sum()
    soft = 1 if radius <= 8 else 2
    kernel = ndimage.gaussian_filter(disc, softness, mode="mirror", radius=soft)
    return np.stack([ndimage.correlate(image[..., c], kernel, mode="mirror") for c in range(3)], axis=-1)


def pixelate(image: np.ndarray, factor: float) -> np.ndarray:
    side = len(image)
    small = Image.fromarray((255 * image).round().astype(np.uint8)).resize(
        (int(side * factor),) * 2, Image.Resampling.BOX
    )
    return np.asarray(small.resize((side, side), Image.Resampling.BOX)) / 255


def jpeg_compression(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray((255 * image).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


ORACLES = (zoom_blur, brightness, contrast, defocus_blur, pixelate, jpeg_compression)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
@pytest.mark.parametrize(("side", "table"), [(32, SMALL), (96, LARGE)], ids=["small", "large"])
def test_corruption_is_what_its_definition_gives(oracle, side, table):
    images = pictures(2, side)
    for level in (1, 3, 4, 5):
        ours = corrupted(images, oracle.__name__, level, seed=0)
        expected = [oracle(image / 255, *table[oracle.__name__][level - 1]) for image in images]
        np.testing.assert_allclose(ours, np.floor(255 * np.clip(expected, 0, 1) + 1e-6), **CLOSE)


def test_soft_disc_sums_to_one_and_is_as_wide_as_it_says():
    for radius, softness, side in ((0.3, 0.4, 3), (1.5, 0.1, 5), (3.0, 0.1, 9), (8.0, 0.5, 17), (10.0, 0.5, 21)):
        kernel = soft_disc(radius, softness)
        assert kernel.shape == (side, side)
        assert kernel.sum().item() == pytest.approx(1, abs=1e-3 if radius < 8 else 0.02)
        torch.testing.assert_close(kernel, kernel.flip(0))
