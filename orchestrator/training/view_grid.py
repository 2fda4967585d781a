"""A picture of what a trial trains on: some images, and every view of them as the first epoch shows it."""

import io

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from orchestrator.data.images import DatasetCard
from orchestrator.storage.place import Place
from orchestrator.training.parts import Images, MakeViews

NUM_ROWS = 8
_SIDE = 96  # of a tile, in pixels: small images are enlarged, pixel by pixel
_GAP = 6
_HEADER = 16
_EPOCH = 1


def write(file: Place, picture: Image.Image) -> None:
    """Write a picture as PNG, whole or not at all."""
    content = io.BytesIO()
    picture.save(content, format="png")
    file.write(content.getbuffer(), parents=False)


def draw(source: Images, pipeline: MakeViews, card: DatasetCard) -> Image.Image:
    """A row for each of the first images of `train`: the image itself, then the views that epoch 1 makes of it.

    Args:
        source: the training images, on CPU.
        pipeline: makes the views.
        card: of the data set, by whose mean and standard deviation views are normalised.
    """
    rows = torch.arange(min(NUM_ROWS, len(source)))
    batch = source.batch(rows)
    views = pipeline(batch, rows, _EPOCH)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (card.mean, card.std))
    columns = {"source": batch.images} | {name: view.images * std + mean for name, view in views.items()}
    return _grid({name: _bytes(column) for name, column in columns.items()})


def _bytes(images: Float[Tensor, "B 3 H W"]) -> UInt8[np.ndarray, "B H W 3"]:
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _grid(columns: dict[str, UInt8[np.ndarray, "B _ _ 3"]]) -> Image.Image:
    pitch = _SIDE + _GAP
    num_rows = max(len(column) for column in columns.values())
    sheet = Image.new("RGB", (_GAP + pitch * len(columns), _HEADER + _GAP + pitch * num_rows), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (name, column) in enumerate(columns.items()):
        left = _GAP + place * pitch
        pen.text((left, 4), name, fill="black")
        for row, pixels in enumerate(column):
            tile = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, _HEADER + _GAP + row * pitch))
    return sheet
