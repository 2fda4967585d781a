"""The class of the single nearest labelled image by cosine, on every test variant.

What AugSelf's training watches (1-NN, arXiv 2111.09613, by its code); no weight, no temperature.
"""

from augment import config
from orchestrator.metrics.knn import TEMPERATURE, knn_classes
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "test_nearest/1"


class Config(config.Config):
    """The protocol has no settings."""


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant, in percent.

    Raises:
        ValueError: if a split has no labels.
    """
    bank = data.features("bank")
    return over_variants(
        data,
        # With one neighbour the temperature has no effect.
        lambda queries: knn_classes(bank.values, bank.labels, queries, k=1, temperature=TEMPERATURE),
        "cosine",
    )
