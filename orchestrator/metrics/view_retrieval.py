"""Recall of an image's other view: a label-free proxy, not an accuracy, to be read together with `collapse`.

The two views always come from the same recipe and seed, whatever augmentation the trial uses: otherwise a trial could
win by making its views alike.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from augment.ops import color_jitter, crop, flip, grayscale
from augment.views import Step
from orchestrator.data.images import ImageSet
from orchestrator.metrics import Timing
from orchestrator.probing.features import Encode, standard_error, unit
from orchestrator.probing.views import augmented

PROTOCOL = "view_retrieval/1"
METRICS = (PROTOCOL, f"{PROTOCOL}_se")
SPLITS = ("validation",)

# Constants of the protocol: changing one requires a new version.
NUM_IMAGES = 1000
SEED = 20221128
RECIPE = (
    Step("crop", crop, crop.Config(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3))),
    Step("flip", flip, flip.Config(p=0.5)),
    Step(
        "color_jitter",
        color_jitter,
        color_jitter.Config(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    ),
    Step("grayscale", grayscale, grayscale.Config(p=0.2)),
)


class Config(Timing):
    """When it is measured; by default after the last epoch."""


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Share of the first 1000 `validation` images whose other view is retrieved, in percent, and its error."""
    first, second = standard_views(splits["validation"].images[:NUM_IMAGES])
    recall = retrieval_recall(encode(first), encode(second))
    # Both directions use the same images, so the images count once.
    return {PROTOCOL: 100 * recall, f"{PROTOCOL}_se": standard_error(recall, len(first))}


def standard_views(
    images: UInt8[np.ndarray, "N H W 3"],
) -> tuple[UInt8[np.ndarray, "N H W 3"], UInt8[np.ndarray, "N H W 3"]]:
    """Two augmented copies of each image, as images again; the same on every call."""
    copies = augmented(images, {"first": RECIPE, "second": RECIPE}, seed=SEED)
    return copies["first"].images, copies["second"].images


def retrieval_recall(first: Float[Tensor, "N D"], second: Float[Tensor, "N D"]) -> float:
    """Share of images whose nearest neighbour by cosine among the other views is their own, over both directions.

    Returns:
        In [0, 1]; 1/N by chance.
    """
    cosine = unit(first) @ unit(second).T  # (N, N)
    own = torch.arange(len(first), device=first.device)
    found = (cosine.argmax(dim=1) == own).double().mean() + (cosine.argmax(dim=0) == own).double().mean()
    return float(found / 2)
