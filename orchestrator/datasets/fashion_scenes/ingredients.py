"""The ingredients of fashion_scenes: grey cut-outs of garments and strips of photographs, checked before use.

The files are next to this module (see ATTRIBUTION.md), built by `build_ingredients.py`; their sources are not needed.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from orchestrator.data import checked_files

FOLDER = Path(__file__).parent

CUTOUT_SIZE = 28  # pixels, as Fashion-MNIST has it
SHEET_COLUMNS = 100  # cut-outs side by side in a sheet
SIZE = 32  # pixels, of a background window and of the finished image

# Class c belongs to family c. A family is one or two photographs, so it is really a scene.
FAMILIES = (
    "brick",
    "gravel",
    "temple",
    "dahlia",
    "mountains",
    "sunset",
    "stars",
    "coffee",
    "dandelions",
    "woodland",
)
PHOTOS = ("1", "1", "1", "1", "12", "1", "1", "1", "1", "1")  # endings of each family's files

# Columns of every photograph, as fractions of its width. Strips of the parts alternate, so that each part sees the
# middle and a side, and a gap keeps them apart. They run from top to bottom: sky and ground lie in all of them.
STRIPS: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        "train": ((0.0, 0.22), (0.40, 0.60), (0.78, 1.0)),
        "test": ((0.23, 0.39),),
        "validation": ((0.61, 0.77),),
    }
)
ZOOMS = (1.0, 0.75, 0.5)  # a window shows 32, 43 or 64 pixels of the stored photograph


@dataclass(frozen=True)
class Windows:
    """The background windows of one part of the photographs; a whole batch is cut out at once.

    Args:
        canvas: all strips of all zooms below one another, (R, C, 3).
        top: first row of each strip, (E,).
        room: rows and columns that a window can move in its strip, plus one, (E, 2).
        first: of each family's strips, (10,).
        count: of each family's strips, (10,).
        size: side S of a window in pixels.
    """

    canvas: UInt8[Tensor, "R C 3"]
    top: Int64[Tensor, "E"]
    room: Int64[Tensor, "E 2"]
    first: Int64[Tensor, "F"]
    count: Int64[Tensor, "F"]
    size: int = SIZE

    def cut(self, families: Int64[Tensor, "B"], u: Float[Tensor, "B 3"]) -> UInt8[Tensor, "B S S 3"]:
        """One window per image.

        Args:
            families: from which family each window comes, 0 to 9.
            u: uniform numbers in [0, 1) that choose strip, row and column.
        """
        strip = self.first[families] + (u[:, 0] * self.count[families]).long()
        corner = (u[:, 1:] * self.room[strip]).long()  # (B, 2)
        pixels = torch.arange(self.size)
        rows = (self.top[strip] + corner[:, 0])[:, None] + pixels  # (B, S)
        columns = corner[:, 1:] + pixels  # (B, S)
        return self.canvas[rows[:, :, None], columns[:, None, :]]


def checksums() -> dict[str, str]:
    """The SHA-256 that each ingredient must have, by file name.

    Raises:
        UserError: if the list is missing.
    """
    return checked_files.checksums(FOLDER)


def verify() -> None:
    """Reads and checks every ingredient.

    Raises:
        UserError: if one is missing or damaged.
    """
    checked_files.verify(FOLDER)


def cutouts(part: str) -> UInt8[np.ndarray, "N 28 28"]:
    """Grey garments of the part `train`, `validation` or `test`: 0 outside, 1 to 255 inside; row i has class i mod 10.

    Raises:
        UserError: if the file is missing or damaged.
    """
    sheet = np.asarray(Image.open(io.BytesIO(checked_files.read(FOLDER, f"cutouts_{part}.png"))))
    cells = sheet.reshape(-1, CUTOUT_SIZE, SHEET_COLUMNS, CUTOUT_SIZE).swapaxes(1, 2)
    return cells.reshape(-1, CUTOUT_SIZE, CUTOUT_SIZE)


def windows(part: str, size: int = SIZE) -> Windows:
    """The background windows of the part `train`, `validation` or `test`; none straddles two strips.

    Args:
        part: of the photographs.
        size: side S of a window in pixels, up to 64; strips that a zoom makes narrower are left out.

    Raises:
        UserError: if a photograph is missing or damaged.
    """
    strips = [
        (family, strip) for family, photo in _photos() for strip in _zoomed(photo, part) if min(strip.shape[:2]) >= size
    ]
    canvas = np.zeros((sum(len(strip) for _, strip in strips), max(strip.shape[1] for _, strip in strips), 3), np.uint8)
    top, row = [], 0
    for _, strip in strips:
        canvas[row : row + len(strip), : strip.shape[1]] = strip
        top.append(row)
        row += len(strip)
    count = torch.bincount(torch.tensor([family for family, _ in strips]))
    return Windows(
        canvas=torch.from_numpy(canvas),
        top=torch.tensor(top),
        room=torch.tensor([strip.shape[:2] for _, strip in strips]) - size + 1,
        first=count.cumsum(0) - count,
        count=count,
        size=size,
    )


def _photos() -> Iterator[tuple[int, Image.Image]]:
    for family, (name, endings) in enumerate(zip(FAMILIES, PHOTOS, strict=True)):
        for ending in endings:
            yield family, Image.open(io.BytesIO(checked_files.read(FOLDER, f"photo_{name}_{ending}.webp")))


def _zoomed(photo: Image.Image, part: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The strips of one part at every zoom; cut first and then downscaled, so that no neighbouring strip bleeds in."""
    for left, right in STRIPS[part]:
        strip = photo.crop((round(left * photo.width), 0, round(right * photo.width), photo.height))
        for zoom in ZOOMS:
            size = (round(strip.width * zoom), round(strip.height * zoom))
            yield np.asarray(strip.resize(size, Image.Resampling.BOX).convert("RGB"))
