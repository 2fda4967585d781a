"""Draws splits.png, the picture of this data set.

python -m orchestrator.datasets.emoji_scenes.picture
"""

import numpy as np
from PIL import Image, ImageDraw

from orchestrator.datasets import emoji_scenes
from orchestrator.datasets.emoji_scenes import sprites

SIDE = sprites.SIZES[-1]
MARGIN = (110, 16)  # pixels for the names, left and above
SPLITS = ("train", *(f"test/{variant}" for variant in emoji_scenes.VARIANTS))


def contact_sheet() -> Image.Image:
    """One column per class; two rows per split, then the masks of the last."""
    count = 2 * len(sprites.CLASSES)
    config = emoji_scenes.Config(size=SIDE, train_size=count, test_size=count)
    sets = [emoji_scenes.load(config, split) for split in SPLITS]
    masks = sets[-1].masks
    assert masks is not None
    tiles = np.concatenate([*(images.images for images in sets), np.repeat(masks[..., None], 3, axis=3)])
    tiles = tiles.reshape(-1, len(sprites.CLASSES), SIDE, SIDE, 3).swapaxes(1, 2)
    grid = Image.fromarray(tiles.reshape(-1, len(sprites.CLASSES) * SIDE, 3))
    sheet = Image.new("RGB", (grid.width + MARGIN[0], grid.height + MARGIN[1]), "white")
    sheet.paste(grid, MARGIN)
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(sprites.CLASSES):
        pen.text((MARGIN[0] + (column + 0.5) * SIDE, MARGIN[1] / 2), name, fill="black", anchor="mm")
    for row, name in enumerate((*SPLITS, "masks")):
        pen.text((MARGIN[0] - 6, MARGIN[1] + (2 * row + 1) * SIDE), name, fill="black", anchor="rm")
    return sheet


if __name__ == "__main__":
    # A palette of 256 colours makes it a third of the size.
    contact_sheet().quantize(256).save(sprites.FOLDER / "splits.png", optimize=True)
