"""Accuracy under the fifteen common corruptions, of a linear classifier that has seen only clean images.

ImageNet-C's and CIFAR-10-C's corruptions (arXiv 1903.12261), made as they are needed; `orchestrator.corruptions` says
in what they differ from the published sets. Accuracies are plain means over levels; the paper divides errors by
AlexNet's, which means nothing for other data.
"""

from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from augment import config
from orchestrator.corruptions import CORRUPTIONS, LEVELS, corrupted
from orchestrator.corruptions.severities import published_side
from orchestrator.evaluating.data import EvaluationData
from orchestrator.evaluating.frozen import FrozenEncoder
from orchestrator.evaluating.sample import sample, tested_split
from orchestrator.evaluations import linear
from orchestrator.features import labels_of
from orchestrator.protocols import Score

PROTOCOL = "corruptions/1"
SEED = 20190328


class Config(config.Config):
    """How much of it to do: every image is encoded 15 times per level.

    Args:
        levels: of severity, each in 1 to 5.
        images: at most so many of the test split.
    """

    levels: Annotated[tuple[Annotated[int, Field(ge=1, le=len(LEVELS))], ...], Field(strict=False, min_length=1)] = (
        LEVELS
    )
    images: int = Field(2000, ge=1)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy under each corruption, over all of them, without any, and the drop, in percent.

    Raises:
        ValueError: if a split has no labels, or there is nothing to test on.
    """
    split = tested_split(data.card)
    bank = data.features("bank")
    tested = sample(data.images(split), config.images)
    labels = labels_of(tested)
    probe = linear.fit_linear(bank.values, bank.labels)
    clean = probe.predict(encoder.features(tested.images)) == labels
    right = {
        name: torch.stack(
            [
                probe.predict(encoder.features(corrupted(tested.images, name, level, seed=SEED))) == labels
                for level in config.levels
            ]
        )
        for name in CORRUPTIONS
    }  # each (levels, N)
    everything = torch.cat(list(right.values()))
    side = published_side(max(tested.images.shape[1:3]))
    note = f"linear probe on clean bank, levels {','.join(map(str, config.levels))}, constants for {side} px"
    scores = [_score(split, name, _shares(part), note) for name, part in right.items()]
    return [
        _score(split, "clean", _shares(clean[None]), "linear probe"),
        _score(split, "corrupted", _shares(everything), f"mean of the 15; {note}"),
        _score(split, "drop", _shares(clean[None]) - _shares(everything), "clean less corrupted"),
        *scores,
    ]


def _shares(right: Bool[Tensor, "K N"]) -> Tensor:
    """In how many of its K tries, as a share, each image was told right."""
    return right.double().mean(dim=0)


def _score(split: str, metric: str, shares: Tensor, note: str) -> Score:
    """The mean over images; several tries on one image count once in its error."""
    count = len(shares)
    error = 100 * float(shares.std(correction=0)) / count**0.5
    return Score(split, metric, 100 * float(shares.mean()), error, count, note)
