"""Do our common corruptions match an independent implementation, imagecorruptions-imaug 1.1?

python -m pip install --no-deps imagecorruptions-imaug opencv-python-headless numba llvmlite
python -m tests.benchmarks.corruptions_parity

Deterministic corruptions must agree within 1 of 255 in every value. For random ones, brightness, contrast, sharpness
and distance from the original, each averaged over 64 draws, must agree within 4 standard errors. The package has only
ImageNet-C's constants. Two corruptions are left out: frost, which we synthesise and the package takes from photographs,
and elastic_transform, which the package implements differently.
"""

import sys

import numpy as np
from imagecorruptions import corrupt

from orchestrator.probing.corruptions import CORRUPTIONS, LEVELS, corrupted
from tests.orchestrator.probing.corruptions.pictures import pictures

DRAWS, MOST_ERRORS = 64, 4.0
# Image sides. Random corruptions: one at which every zoom of snow ends on a whole pixel, because the package does not
# crop the remainder. Deterministic ones: one at which `pixelate` meets no half pixels, which the package rounds
# differently.
RANDOM_SIDE, DETERMINISTIC_SIDE = 180, 96
DETERMINISTIC = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
LEFT_OUT = ("frost", "elastic_transform")


def traits(images: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Mean, deviation, sharpness and distance from the original of each image, (N, 4)."""
    values, axes = images.astype(float), (1, 2, 3)
    sharpness, distance = np.abs(np.diff(values, axis=2)).mean(axes), np.abs(values - original).mean(axes)
    return np.stack((values.mean(axes), values.std(axes), sharpness, distance), axis=1)


def compare(name: str, level: int) -> bool:
    """Prints one line and returns whether the two implementations agree."""
    count, side = (1, DETERMINISTIC_SIDE) if name in DETERMINISTIC else (DRAWS, RANDOM_SIDE)
    image = pictures(2, side)[1]
    theirs = np.stack([np.uint8(corrupt(image, severity=level, corruption_name=name)) for _ in range(count)])
    ours = corrupted(np.stack([image] * count), name, level, seed=0)
    if name in DETERMINISTIC:
        furthest = int(np.abs(theirs.astype(int) - ours).max())
        print(f"{name:18} {level}  largest difference {furthest}")
        return furthest <= 1
    one, other = traits(theirs, image), traits(ours, image)
    errors = (one.mean(0) - other.mean(0)) / np.sqrt((one.var(0) + other.var(0)) / count)
    print(f"{name:18} {level}  theirs {one.mean(0).round(2)}  ours {other.mean(0).round(2)}  errors {errors.round(1)}")
    return bool(np.abs(errors).max() <= MOST_ERRORS)


def main() -> int:
    np.random.seed(0)  # the package draws from NumPy's global generator
    agree = [compare(name, level) for name in CORRUPTIONS if name not in LEFT_OUT for level in LEVELS]
    print(f"{sum(agree)} of {len(agree)} agree")
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
