"""Accuracy of a linear classifier on frozen features."""

from collections.abc import Mapping

from orchestrator.data.images import ImageSet
from orchestrator.metrics import Timing
from orchestrator.probing.features import Encode, labels_of, standard_error
from orchestrator.probing.linear_probe import fit_linear

PROTOCOL = "linear_val/2"
METRICS = (PROTOCOL, f"{PROTOCOL}_se")
# Version 1 stopped after 200 iterations, before the minimum where features are many and correlated.
RETIRED = {f"linear_val/1{end}": f"{PROTOCOL}{end}" for end in ("", "_se")}
NEEDS_LABELS = True


class Config(Timing):
    """When it is measured; by default after the last epoch."""


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Accuracy on `validation` of the classifier fitted on `bank`, in percent, and its standard error.

    Raises:
        ValueError: if a split has no labels.
    """
    bank, queries = splits["bank"], splits["validation"]
    probe = fit_linear(encode(bank.images), labels_of(bank))
    accuracy = probe.accuracy(encode(queries.images), labels_of(queries))
    return {PROTOCOL: 100 * accuracy, f"{PROTOCOL}_se": standard_error(accuracy, len(queries))}
