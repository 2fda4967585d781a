"""Weighted kNN accuracy on every test variant; nothing is fitted.

The classifier is that of `val_knn/1`: neighbours come from `bank`, where backgrounds are independent of the class.
"""

from augment import config
from orchestrator.metrics.knn import TEMPERATURE, knn_classes, num_neighbours
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "test_knn/1"


class Config(config.Config):
    """The protocol has no settings: another k or temperature is another protocol."""


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant, with cosine similarity, in percent.

    Raises:
        ValueError: if a split has no labels.

    Source: arXiv 1805.01978, section 3.4.
    """
    bank = data.features("bank")
    k = num_neighbours(len(bank.labels))
    return over_variants(
        data,
        lambda queries: knn_classes(bank.values, bank.labels, queries, k=k, temperature=TEMPERATURE),
        f"k={k}, T={TEMPERATURE:g}",
    )
