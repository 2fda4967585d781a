"""A user's own images for tests: coloured noise in the layouts and file formats that users have."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from orchestrator.data import own_images
from orchestrator.datasets import image_folder

SIZE = 8
COUNTS = {"train/cat": 6, "train/dog": 5, "validation/cat": 2, "validation/dog": 2, "test/dog": 3}


def settings(root: Path, **changes: object) -> image_folder.Config:
    """Of a folder of images, decoded into a cache beside it."""
    return image_folder.Config(root=str(root), **{"size": SIZE, "cache": str(root.parent / "cache"), **changes})


def look_again() -> None:
    """As another process would, which remembers nothing."""
    own_images._opened.cache_clear()


def picture(seed: int, width: int = 20, height: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def disc(width: int = 20, height: int = 16) -> Image.Image:
    """A mask."""
    y, x = np.ogrid[:height, :width]
    return Image.fromarray((255 * ((x - width / 2) ** 2 + (y - height / 2) ** 2 < 30)).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def write(file: Path, content: bytes | Image.Image) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(content) if isinstance(content, Image.Image) else content)
    return file


def write_folder(root: Path, counts: dict[str, int] | None = None, *, masks: bool = False) -> Path:
    """So many images in each folder, named in order; with masks, every image has one."""
    seed = 0
    for folder, count in (COUNTS if counts is None else counts).items():
        for number in range(count):
            write(root / folder / f"{number}.png", picture(seed))
            if masks:
                write(root / "masks" / folder / f"{number}.png", disc())
            seed += 1
    return root


def write_shard(file: Path, count: int, *, seed: int = 0, struct: bool = False, **columns: list) -> Path:
    """A Parquet file of so many images; `columns` are laid beside or over `image`."""
    contents = [encoded(picture(seed + row)) for row in range(count)]
    images = [{"bytes": content, "path": None} for content in contents] if struct else contents
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"image": images, **columns}), file, row_group_size=4)
    return file
