"""A linear classifier on cached features, fitted where the background says nothing of the class.

It asks what the features know; `linear_biased` asks what a user of the data as they are would get.
"""

from augment import config
from orchestrator.probing.classifiers import FITTED, fitted, likeliest
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "linear_test/2"


class Config(config.Config):
    """The protocol has no settings: another penalty is another protocol."""


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant of the classifier fitted on `bank`, as in `linear_val/2`, in percent.

    Raises:
        ValueError: if a split has no labels.
    """
    return over_variants(data, likeliest(fitted(data, "bank")), FITTED)
