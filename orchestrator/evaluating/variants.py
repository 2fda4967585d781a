"""Accuracy on every variant of a test split, and what a background that fits the class is worth."""

from collections.abc import Callable

from jaxtyping import Float, Int64
from torch import Tensor

from orchestrator.evaluating.data import EvaluationData
from orchestrator.features import standard_error
from orchestrator.protocols import Score

# How much accuracy comes from a background that fits the class: Xiao et al., arXiv 2006.09994, section 3.
GAP, SAME, RAND = "bg_gap", "mixed_same", "mixed_rand"

Predict = Callable[[Float[Tensor, "N D"]], Int64[Tensor, "N"]]


def over_variants(data: EvaluationData, predict: Predict, note: str) -> list[Score]:
    """The accuracy on each `test/<variant>`, in percent, and the background gap where both its parts are there.

    Args:
        data: whose variants have labels.
        predict: the class of each feature vector.
        note: of every score.

    Raises:
        ValueError: if there is nothing to test on.
    """
    if not data.card.variants:
        raise ValueError("there are no test images")
    found = {}
    for variant in data.card.variants:
        tested = data.features(f"test/{variant}")
        share = float((predict(tested.values) == tested.labels).double().mean())
        count = len(tested.labels)
        error = standard_error(share, count)
        found[variant] = Score(f"test/{variant}", "accuracy", 100 * share, error, count, note)
    return [*found.values(), *_gap(found, note)]


def _gap(found: dict[str, Score], note: str) -> list[Score]:
    if not {SAME, RAND} <= set(found):
        return []
    same, rand = found[SAME], found[RAND]
    # As if the two tests were drawn apart; they show the same objects, so the truth is a little smaller.
    error = ((same.error or 0) ** 2 + (rand.error or 0) ** 2) ** 0.5
    return [Score("test", GAP, same.value - rand.value, error, same.count, note)]
