"""Accuracy on every variant of a test split, and the background gap."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from orchestrator.probing.data import EvaluationData, Features
from orchestrator.probing.features import standard_error
from orchestrator.probing.score import Score

# The accuracy that comes from a background that fits the class: Xiao et al., arXiv 2006.09994, section 3.
GAP, SAME, RAND = "bg_gap", "mixed_same", "mixed_rand"

Predict = Callable[[Float[Tensor, "N D"]], Int64[Tensor, "N"]]
Metric = Literal["accuracy", "mean_per_class"]


def over_variants(
    data: EvaluationData,
    predict: Predict,
    note: str,
    *,
    metric: Metric = "accuracy",
    features: Callable[[str], Features] | None = None,
) -> list[Score]:
    """The accuracy on each `test/<variant>`, in percent, and the background gap if both of its variants exist.

    Args:
        data: whose variants have labels.
        predict: the class of each feature vector.
        note: added to every score.
        metric: which accuracy.
        features: of a split, if not from the data's own encoder.

    Raises:
        ValueError: if there are no test images.
    """
    if not data.card.variants:
        raise ValueError("there are no test images")
    found = {}
    for variant in data.card.variants:
        tested = (features or data.features)(f"test/{variant}")
        value, error = percent_right(predict(tested.values), tested.labels, metric)
        found[variant] = Score(f"test/{variant}", metric, value, error, len(tested.labels), note)
    return [*found.values(), *_gap(found, note)]


def percent_right(predicted: Int64[Tensor, "N"], labels: Int64[Tensor, "N"], metric: Metric) -> tuple[float, float]:
    """An accuracy and its standard error, in percent.

    Args:
        predicted: classes from 0.
        labels: the right ones.
        metric: `accuracy` weighs every image equally, `mean_per_class` every class that occurs.
    """
    right = (predicted == labels).double()
    if metric == "accuracy":
        share = float(right.mean())
        return 100 * share, standard_error(share, len(labels))
    counts = labels.bincount()
    there = counts > 0
    shares, counts = labels.bincount(weights=right)[there] / counts[there], counts[there]
    return 100 * float(shares.mean()), 100 * float((shares * (1 - shares) / counts).sum().sqrt()) / len(shares)


def _gap(found: dict[str, Score], note: str) -> list[Score]:
    if not {SAME, RAND} <= set(found):
        return []
    same, rand = found[SAME], found[RAND]
    # Treats the two tests as independent; they show the same objects, so the true error is slightly smaller.
    return [Score("test", GAP, *difference(same, rand), same.count, note)]


def difference(first: Score, second: Score) -> tuple[float, float]:
    """The first score minus the second, and its standard error if they were measured on different images."""
    return first.value - second.value, ((first.error or 0) ** 2 + (second.error or 0) ** 2) ** 0.5
