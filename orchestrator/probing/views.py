"""Augmented copies of images, as uint8 images, with the parameters of the augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from augment.pipeline import Pipeline
from augment.views import Batch, Params, Step, ViewSpec
from orchestrator.probing.features import CHUNK, planes


@dataclass(frozen=True)
class Copies:
    """One augmented copy of each image.

    Args:
        images: in the size of the originals.
        params: of the ops, by name.
    """

    images: UInt8[np.ndarray, "N H W 3"]
    params: Mapping[str, Params]


def augmented(
    images: UInt8[np.ndarray, "N H W 3"], recipes: Mapping[str, Sequence[Step]], *, seed: int
) -> dict[str, Copies]:
    """One copy of each image per recipe, the same on every call.

    Args:
        images: of any size.
        recipes: steps by the name of the copy; equal steps under another name draw other numbers.
        seed: of all draws, in [0, 2^64).
    """
    views = {name: ViewSpec(recipe=(name,)) for name in recipes}
    pipeline = Pipeline(views, recipes, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), seed=seed)
    made = {name: np.empty_like(images) for name in recipes}
    params: dict[str, list[Mapping[str, Params]]] = {name: [] for name in recipes}
    for rows in torch.arange(len(images)).split(CHUNK):
        source = planes(torch.from_dlpack(images)[rows])
        for name, view in pipeline(Batch(source), rows, 0).items():
            made[name][rows.numpy()] = (255 * view.images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            params[name].append(view.params)
    return {name: Copies(made[name], _joined(params[name])) for name in recipes}


def _joined(parts: Sequence[Mapping[str, Params]]) -> dict[str, Params]:
    """The parameters of all chunks, concatenated."""

    def column(op: str, key: str) -> Tensor:
        return torch.cat([part[op][key] for part in parts])

    return {op: {key: column(op, key) for key in params} for op, params in parts[0].items()}
