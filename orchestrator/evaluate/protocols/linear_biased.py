"""A linear classifier on cached features, fitted on the training images as they are: what a user would get."""

from augment import config
from orchestrator.probing.classifiers import FITTED, fitted, likeliest
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "linear_test_biased/2"


class Config(config.Config):
    """The protocol has no settings: another penalty is another protocol."""


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant of the classifier fitted on `train`, in percent.

    Raises:
        ValueError: if a split has no labels, or `train` is what `linear_test/2` is fitted on.
    """
    if not data.card.labelled("train"):
        raise ValueError("the images of train have no labels")
    if data.card.bank_is_train:
        raise ValueError("its labels have no other bias than those of linear_test/2, which says the same")
    return over_variants(data, likeliest(fitted(data, "train")), FITTED)
