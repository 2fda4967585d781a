"""Draws variants.png, the picture of this data set that docs/data.md shows.

python -m orchestrator.datasets.fashion_scenes.picture
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from orchestrator.datasets.fashion_scenes import CLASSES, VARIANTS, composition, ingredients

ZOOM = 2
MARGIN = (84, 16)  # pixels for the names, left and above
ROWS = slice(310, 320)  # test cut-outs, one of each class, that are easy to tell apart


def contact_sheet() -> Image.Image:
    """One column per class, one row per variant, then masks. Rows share their draws, unlike the test splits."""
    cutouts, windows = ingredients.cutouts("test")[ROWS], ingredients.windows("test")
    made = [
        composition.compose(cutouts, windows, split="picture", variant=variant, rho=0.5, seed=0) for variant in VARIANTS
    ]
    assert made[0].masks is not None
    rows = [_row(images.images) for images in made] + [_row(np.repeat(made[0].masks[..., None], 3, axis=3))]
    tiles = Image.fromarray(np.concatenate(rows))
    tiles = tiles.resize((tiles.width * ZOOM, tiles.height * ZOOM), Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (tiles.width + MARGIN[0], tiles.height + MARGIN[1]), "white")
    sheet.paste(tiles, MARGIN)
    pen, side = ImageDraw.Draw(sheet), ingredients.SIZE * ZOOM
    for column, name in enumerate(CLASSES):
        pen.text((MARGIN[0] + (column + 0.5) * side, MARGIN[1] / 2), name, fill="black", anchor="mm")
    for row, name in enumerate((*VARIANTS, "mask")):
        pen.text((MARGIN[0] - 6, MARGIN[1] + (row + 0.5) * side), name, fill="black", anchor="rm")
    return sheet


def _row(images: UInt8[np.ndarray, "N H W 3"]) -> UInt8[np.ndarray, "H NW 3"]:
    return np.concatenate(list(images), axis=1)


if __name__ == "__main__":
    # A palette of 256 colours makes it a third of the size.
    contact_sheet().quantize(256).save(ingredients.FOLDER / "variants.png", optimize=True)
