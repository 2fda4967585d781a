"""Accuracy under the fifteen common corruptions of a classifier fitted on clean images.

ImageNet-C's and CIFAR-10-C's corruptions (arXiv 1903.12261), made on the fly; `orchestrator.probing.corruptions`
lists the differences from the published sets. Accuracies are plain means over levels; the paper divides errors by
AlexNet's, which exist for ImageNet only.
"""

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from pydantic import Field
from torch import Tensor

from augment import config
from orchestrator.probing.classifiers import among, classifier, right
from orchestrator.probing.corruptions import CORRUPTIONS, LEVELS, corrupted
from orchestrator.probing.corruptions.severities import published_side
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.sample import sample, tested_split
from orchestrator.probing.score import Score

PROTOCOL = "corruptions/2"
SEED = 20190328


class Config(config.Config):
    """How much to measure: every image is encoded 15 times per level.

    Args:
        levels: of severity, each in 1 to 5.
        images: most images of the test split.
    """

    levels: Annotated[tuple[Annotated[int, Field(ge=1, le=len(LEVELS))], ...], Field(strict=False, min_length=1)] = (
        LEVELS
    )
    images: int = Field(2000, ge=1)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy under each corruption, over all corruptions, on clean images, and the drop, in percent.

    Raises:
        ValueError: if there are no test images, no classifier, or no labels.
    """
    split = tested_split(data.card)
    classify, by = classifier(encoder, data)
    tested = sample(data.images(split), config.images)

    def correct(images: UInt8[np.ndarray, "N H W 3"]) -> Bool[Tensor, "N"]:
        return right(among(classify(encoder.features(images)), data.card.present), tested)

    clean = correct(tested.images)
    tries = {
        name: torch.stack([correct(corrupted(tested.images, name, level, seed=SEED)) for level in config.levels])
        for name in CORRUPTIONS
    }  # each (levels, N)
    everything = torch.cat(list(tries.values()))
    side = published_side(max(tested.images.shape[1:3]))
    note = f"{by}, levels {','.join(map(str, config.levels))}, constants for {side} px"
    scores = [_score(split, name, _shares(part), note) for name, part in tries.items()]
    return [
        _score(split, "clean", _shares(clean[None]), by),
        _score(split, "corrupted", _shares(everything), f"mean of the 15; {note}"),
        _score(split, "drop", _shares(clean[None]) - _shares(everything), "clean less corrupted"),
        *scores,
    ]


def _shares(right: Bool[Tensor, "K N"]) -> Tensor:
    """The share of its K corruptions under which each image was classified correctly."""
    return right.double().mean(dim=0)


def _score(split: str, metric: str, shares: Tensor, note: str) -> Score:
    """The mean over images; several tries on one image count once in its error."""
    count = len(shares)
    error = 100 * float(shares.std(correction=0)) / count**0.5
    return Score(split, metric, 100 * float(shares.mean()), error, count, note)
