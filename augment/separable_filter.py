"""Weighted sums of a few pixels, down the columns and along the rows: what blurring and resampling come to.

Each output pixel sums a few taps, whatever the size; a matrix per image, or a convolution, does more work.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor

# For each place of a line that is made: the places in the source that have a share in it, and their weights, both
# (B, out, taps), of which the first may be the same for the whole batch.
Taps = tuple[Int32[Tensor, "#B _ _"], Float[Tensor, "B _ _"]]


def filtered(planes: Float[Tensor, "B C H W"], down: Taps, across: Taps) -> Float[Tensor, "B C out_h out_w"]:
    """The planes after two filters.

    Rows are what can be summed fast, so between the filters the planes are turned over: they end lying in memory by
    columns if they began lying by rows, and the other way round.

    Args:
        planes: of images.
        down: how each column is made of pixels in the same column.
        across: the same for the rows.
    """
    if planes.mT.is_contiguous():
        return _summed(_summed(planes.mT, *across).mT, *down)
    if planes.permute(0, 2, 3, 1).is_contiguous():  # as bytes are stored: a row of all channels is one
        rows = _summed(planes.permute(0, 2, 3, 1).flatten(2)[:, None], *down)
        columns = rows.unflatten(-1, (-1, planes.shape[1]))[:, 0].permute(0, 3, 2, 1)
        return _summed(columns, *across).mT
    return _summed(_summed(planes, *down).mT, *across).mT


def _summed(
    planes: Float[Tensor, "B C H W"], places: Int32[Tensor, "#B out taps"], weights: Float[Tensor, "B out taps"]
) -> Float[Tensor, "B C out W"]:
    """Sums of whole rows, which is what embeddings of bags are: tables of rows, of which a few are added up."""
    count, channels, height, width = planes.shape
    first = torch.arange(count * channels, dtype=torch.int32, device=planes.device).view(count, channels, 1, 1) * height
    bags = first + places[:, None]  # (B, C, out, taps)
    shares = weights[:, None].expand_as(bags)
    rows = F.embedding_bag(
        bags.flatten(0, 2), planes.reshape(-1, width), mode="sum", per_sample_weights=shares.flatten(0, 2)
    )
    return rows.view(count, channels, -1, width)
