"""Spread and effective rank of the features, which detect collapse; needs no labels."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from orchestrator.data.images import ImageSet
from orchestrator.metrics import Every, Timing
from orchestrator.probing.features import Encode, unit

METRICS = ("feature_std", "rankme")
SPLITS = ("validation",)

EPSILON = 1e-7  # added to each share so that its logarithm exists, as published


class Config(Timing):
    """When it is measured; by default after every epoch."""

    every: Every = 1


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Spread and effective rank of the features of `validation`."""
    features = encode(splits["validation"].images)
    return {"feature_std": feature_std(features), "rankme": rankme(features)}


def feature_std(features: Float[Tensor, "N D"]) -> float:
    """Mean standard deviation per dimension of the unit-length features, times sqrt(D); 0 when all features are equal.

    Returns:
        In [0, 1]; 1 when they are spread evenly around the origin.

    Source: arXiv 2011.10566, section 4.1 (1 / sqrt(D) there is 1 here).
    """
    return float(unit(features).std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def rankme(features: Float[Tensor, "N D"]) -> float:
    """Smooth rank: the exponential of the entropy of the normalised singular values.

    Returns:
        Between about 1 (all features on one line) and min(N, D).

    Source: arXiv 2210.02885, equations 1 and 2, on the encoder's features, not centred, as in the paper.
    """
    wide = features.double()
    gram = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    # The squared singular values, much faster; the lost precision is far below EPSILON.
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    shares = values / values.sum() + EPSILON
    return float((-(shares * shares.log()).sum()).exp())
