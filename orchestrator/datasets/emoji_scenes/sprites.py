"""The sprites of emoji_scenes, rendered by `build_sprites.py` and checked before use.

One sheet per style keeps the licences separate: each is in the name of its file. `glyphs.csv` lists class, part and
name of the symbols in the order of the sheets' cells; a symbol that a style does not draw has a transparent cell.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from orchestrator.data import checked_files

FOLDER = Path(__file__).parent
GLYPHS = "glyphs.csv"
CLASSES = ("face", "hand", "mammal", "plant", "produce", "dish", "clothing", "building", "vehicle", "weather")
LICENCES = {
    "noto": "Apache-2.0",
    "noto-v1": "Apache-2.0",
    "fluent-emoji": "MIT",
    "fluent-emoji-flat": "MIT",
    "twemoji": "CC-BY-4.0",
    "emojione": "CC-BY-4.0",
    "openmoji": "CC-BY-SA-4.0",
}
# The two Fluent styles have the same outlines, so they are not split between training and test.
SEEN_STYLES = ("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "twemoji")
UNSEEN_STYLES = ("emojione", "openmoji")

SIZES = (32, 64)  # pixels, of the scenes
CELL = 56  # pixels: in a scene of 64 in proportion to a cut-out of fashion_scenes in a scene of 32
SHEET_COLUMNS = 20


@dataclass(frozen=True)
class Sprites:
    """Foregrounds of some symbols in some styles.

    Args:
        pixels: RGB, premultiplied with A, (K, C, C, 4).
        classes: of each, (K,).
    """

    pixels: UInt8[Tensor, "K C C 4"]
    classes: Int64[Tensor, "K"]


def sheet_name(style: str) -> str:
    """The file of a style."""
    return f"{style}.{LICENCES[style]}.webp"


def load(part: str, styles: Sequence[str], size: int) -> Sprites:
    """The sprites of one part of the symbols.

    Args:
        part: `train`, `validation` or `test`.
        styles: names in `LICENCES`.
        size: of the scenes, one of `SIZES`.

    Raises:
        UserError: if a file is missing or damaged.
    """
    rows = list(csv.DictReader(io.StringIO(checked_files.read(FOLDER, GLYPHS).decode())))
    wanted = torch.tensor([row["part"] == part for row in rows])
    classes = torch.tensor([CLASSES.index(row["class"]) for row in rows])
    cells = [_cells(sheet_name(style))[: len(rows)] for style in styles]
    drawn = [wanted & (sheet[..., 3].amax((1, 2)) > 0) for sheet in cells]
    pixels = torch.cat([sheet[rows] for sheet, rows in zip(cells, drawn, strict=True)])
    return Sprites(_shrunk(pixels, size), torch.cat([classes[rows] for rows in drawn]))


def _cells(name: str) -> UInt8[Tensor, "K C C 4"]:
    sheet = np.asarray(Image.open(io.BytesIO(checked_files.read(FOLDER, name))).convert("RGBA"))
    return torch.from_numpy(sheet.reshape(-1, CELL, SHEET_COLUMNS, CELL, 4).swapaxes(1, 2).reshape(-1, CELL, CELL, 4))


def _shrunk(pixels: UInt8[Tensor, "K C C 4"], size: int) -> UInt8[Tensor, "K c c 4"]:
    """The sprites with premultiplied alpha, downscaled for a scene of this size."""
    planes = pixels.permute(0, 3, 1, 2).float()
    planes[:, :3] *= planes[:, 3:] / 255
    return functional.avg_pool2d(planes, SIZES[-1] // size).round().to(torch.uint8).permute(0, 2, 3, 1)
