"""What a trained encoder has to beat, by the run's own metrics: an untrained encoder, and the pixels themselves."""

from collections.abc import Sequence

from torch import nn

from orchestrator.probing.features import encoder_features, pixel_features
from orchestrator.training.parts import Data, Metric

RANDOM = "random encoder"
PIXELS = "raw pixels"

# By metric, its standard error included.
Scores = dict[str, float]


def measured(encoder: nn.Module, metrics: Sequence[Metric], data: Data) -> dict[str, Scores]:
    """Every metric of an untrained encoder and of the pixels, by baseline.

    Args:
        encoder: with its initial weights, on the device that measures it.
        metrics: of the run.
        data: the run's images.

    Raises:
        ValueError: if a metric needs labels and there are none.
    """
    encodes = {
        RANDOM: encoder_features(encoder, data.card.mean, data.card.std),
        PIXELS: pixel_features(data.card.mean, data.card.std),
    }
    scores: dict[str, Scores] = {name: {} for name in encodes}
    for metric in metrics:
        for name, encode in encodes.items():
            scores[name] |= metric(encode, data.splits)
    return scores
