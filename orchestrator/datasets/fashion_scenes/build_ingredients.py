"""Builds the ingredients of fashion_scenes again from their sources; not needed to use the data set.

    python -m orchestrator.datasets.fashion_scenes.build_ingredients [--output FOLDER]

It needs Debian's packages dataset-fashion-mnist and lomiri-wallpapers-16.04, and the photographs of
scikit-image 0.26 and scikit-learn; every source is checked against the hash below. The pixels are the same each time;
the bytes also depend on the versions of libpng and libwebp inside Pillow, and checksums.sha256 is written accordingly.
"""

import argparse
import gzip
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from PIL import Image

from orchestrator.core.errors import UserError
from orchestrator.data import checked_files
from orchestrator.datasets.fashion_scenes.ingredients import CUTOUT_SIZE, FOLDER, SHEET_COLUMNS

log = logging.getLogger(__name__)

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
WALLPAPERS = Path("/usr/share/backgrounds")
FASHION_MNIST_HASHES = {
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
}

NUM_CLASSES = 10
PER_CLASS = {"test": 200, "train": 800, "validation": 200}
PHOTO_WIDTH = 448  # pixels: the narrowest strip, at half the size, still holds a window
DARK = 12  # grey values up to this are residue around the product
SPECK = 8  # pixels; smaller islands are dropped
HOLE = 12  # pixels; smaller holes are dark product, larger ones are real (a bag's handle, the gap between trouser legs)
AREA = (0.05, 0.85)  # of the frame; outside, the threshold has failed


@dataclass(frozen=True)
class Photo:
    """A source photograph.

    Args:
        name: of the ingredient made from it.
        folder: `scikit-image`, `scikit-learn` or `wallpapers`.
        file: in that folder.
        sha256: of the file.
        share: of width and height that is kept, from the upper left corner.
    """

    name: str
    folder: str
    file: str
    sha256: str
    share: float = 1.0


# Authors and licences: ATTRIBUTION.md.
PHOTOS = (
    Photo("brick_1", "scikit-image", "brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    Photo("gravel_1", "scikit-image", "gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    Photo("temple_1", "scikit-learn", "china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    Photo("dahlia_1", "scikit-learn", "flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
    Photo(
        "mountains_1",
        "wallpapers",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
    ),
    Photo(
        "mountains_2",
        "wallpapers",
        "aitzgorri_by_Aitzol_Berasategi.jpg",
        "66268e7b48f8854d36a28765fac6e23ec1aee251daa6da1f64715f201020ad36",
    ),
    Photo(
        "sunset_1",
        "wallpapers",
        "sunset_by_Aitzol_Berasategi.jpg",
        "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
    ),
    Photo(
        "stars_1",
        "scikit-image",
        "hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        share=0.6,
    ),
    Photo("coffee_1", "scikit-image", "coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    Photo(
        "dandelions_1",
        "wallpapers",
        "seeding_by_Clements_Engelhardt.jpg",
        "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
    ),
    Photo(
        "woodland_1",
        "wallpapers",
        "life_by_Aitzol_Berasategi.jpg",
        "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
    ),
)


def build(output: Path) -> None:
    """Writes all ingredients and their checksums.

    Args:
        output: an existing folder.

    Raises:
        UserError: if a source is missing or not the expected one.
    """
    made: list[Path] = []
    seen: set[bytes] = set()
    for part in ("test", "train", "validation"):
        made.append(output / f"cutouts_{part}.png")
        _sheet(_select(part, seen)).save(made[-1], optimize=True)
    for photo in PHOTOS:
        made.append(output / f"photo_{photo.name}.webp")
        _shrunk(photo).save(made[-1], lossless=True, quality=100, method=6)
    checked_files.write_checksums(output, [path.name for path in made])
    log.info("wrote %d files, %.2f MB", len(made), sum(path.stat().st_size for path in made) / 1e6)


def cut_out(image: UInt8[np.ndarray, "28 28"]) -> UInt8[np.ndarray, "28 28"]:
    """The product alone: 0 outside, 1 to 255 inside.

    Above `DARK` is product. Islands under `SPECK` pixels are dropped and holes under `HOLE` pixels filled, and nothing
    is closed, so that handles and gaps stay open. Masks made so are derived, not annotated: near-exact.
    """
    product = _without_small(image > DARK, SPECK, diagonal=True)
    product = ~_without_small(~product, HOLE, diagonal=False)
    return np.where(product, np.maximum(image, 1), 0).astype(np.uint8)


def _without_small(region: Bool[np.ndarray, "28 28"], least: int, *, diagonal: bool) -> Bool[np.ndarray, "28 28"]:
    """The region without its components of fewer than `least` pixels."""
    from scipy import ndimage  # installed with scikit-image; not needed to use the data set

    # The frame counts as background around the product, so a notch at the border is no hole.
    padded = np.pad(region, 1, constant_values=not diagonal)
    neighbours = ndimage.generate_binary_structure(2, 2 if diagonal else 1)
    components = np.zeros(padded.shape, np.int64)
    ndimage.label(padded, neighbours, components)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return (sizes >= least)[components][1:-1, 1:-1]


def _select(part: str, seen: set[bytes]) -> list[UInt8[np.ndarray, "28 28"]]:
    """The first good products of each class that are in no part yet, classes in turn."""
    images, labels = _fashion_mnist("t10k" if part == "test" else "train")
    chosen: list[list[np.ndarray]] = []
    for label in range(NUM_CLASSES):
        products: list[np.ndarray] = []
        for row in np.flatnonzero(labels == label):
            product = cut_out(images[row])
            key = product.tobytes()
            if AREA[0] <= (product > 0).mean() <= AREA[1] and key not in seen:
                products.append(product)
                seen.add(key)
            if len(products) == PER_CLASS[part]:
                break
        chosen.append(products)
    return [product for turn in zip(*chosen, strict=True) for product in turn]


def _sheet(products: list[UInt8[np.ndarray, "28 28"]]) -> Image.Image:
    """All products on one sheet, row by row."""
    cells = np.stack(products).reshape(-1, SHEET_COLUMNS, CUTOUT_SIZE, CUTOUT_SIZE).swapaxes(1, 2)
    return Image.fromarray(cells.reshape(-1, SHEET_COLUMNS * CUTOUT_SIZE))


def _shrunk(photo: Photo) -> Image.Image:
    path = _folder(photo.folder) / photo.file
    _check(path, photo.sha256)
    image = Image.open(path).convert("RGB")
    image = image.crop((0, 0, round(photo.share * image.width), round(photo.share * image.height)))
    return image.resize((PHOTO_WIDTH, round(image.height * PHOTO_WIDTH / image.width)), Image.Resampling.LANCZOS)


def _folder(source: str) -> Path:
    if source == "wallpapers":
        return WALLPAPERS
    if source == "scikit-image":
        import skimage

        return Path(skimage.__file__).parent / "data"
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "images"


def _fashion_mnist(prefix: str) -> tuple[UInt8[np.ndarray, "N 28 28"], Int64[np.ndarray, "N"]]:
    content = []
    for name, header in ((f"{prefix}-images-idx3-ubyte.gz", 16), (f"{prefix}-labels-idx1-ubyte.gz", 8)):
        _check(FASHION_MNIST / name, FASHION_MNIST_HASHES[name])
        with gzip.open(FASHION_MNIST / name) as file:
            content.append(np.frombuffer(file.read(), np.uint8, offset=header))
    return content[0].reshape(-1, CUTOUT_SIZE, CUTOUT_SIZE), content[1].astype(np.int64)


def _check(path: Path, sha256: str) -> None:
    if not path.exists():
        raise UserError(f"{path} is missing: install the package that brings it (see the top of build_ingredients.py)")
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != sha256:
        raise UserError(f"{path} is another version: its SHA-256 must be {sha256[:12]}..., got {actual[:12]}...")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Make the ingredients of fashion_scenes again from their sources.")
    parser.add_argument("--output", type=Path, default=FOLDER, help="an existing folder (default: next to this module)")
    build(parser.parse_args().output)
