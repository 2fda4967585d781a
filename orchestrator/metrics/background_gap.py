"""How much of the kNN accuracy comes from a background that fits the class; lower is better.

The classifier is that of `val_knn/1`, but with the training images as neighbours: their labels are correlated with
their backgrounds, so a background can serve as a shortcut. (With `bank`, where class and background are independent,
the gap of fashion_scenes is negative, and lowest for raw pixels: minimising it would reward looking at the background.)
"""

from collections.abc import Mapping

from orchestrator.data.images import ImageSet
from orchestrator.metrics import Timing
from orchestrator.metrics.knn import TEMPERATURE, knn_accuracy, num_neighbours
from orchestrator.probing.features import Encode, labels_of, standard_error

PROTOCOL = "background_gap/1"
SAME, RAND = "mixed_same", "mixed_rand"
METRICS = (PROTOCOL, f"{PROTOCOL}_se", *(f"{PROTOCOL}/{kind}{end}" for kind in (SAME, RAND) for end in ("", "_se")))
SPLITS = ("train", f"validation/{SAME}", f"validation/{RAND}")
NEEDS_LABELS = True


class Config(Timing):
    """When it is measured; by default after the last epoch."""


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Accuracy on `mixed_same` minus that on `mixed_rand`, in percentage points, and both accuracies in percent.

    The gap's standard error treats the two as measured on different images. Both show the same foregrounds, so the
    true error is slightly smaller.

    Raises:
        ValueError: if a split has no labels.

    Source: Xiao et al., "Noise or Signal", arXiv 2006.09994, section 3 (BG-Gap, there of a classifier on ImageNet-9).
    """
    train = splits["train"]
    features, labels = encode(train.images), labels_of(train)
    shares, errors = {}, {}
    for kind in (SAME, RAND):
        queries = splits[f"validation/{kind}"]
        shares[kind] = knn_accuracy(
            features,
            labels,
            encode(queries.images),
            labels_of(queries),
            k=num_neighbours(len(train)),
            temperature=TEMPERATURE,
        )
        errors[kind] = standard_error(shares[kind], len(queries))
    gap = 100 * (shares[SAME] - shares[RAND])
    found = {PROTOCOL: gap, f"{PROTOCOL}_se": (errors[SAME] ** 2 + errors[RAND] ** 2) ** 0.5}
    for kind in (SAME, RAND):
        found |= {f"{PROTOCOL}/{kind}": 100 * shares[kind], f"{PROTOCOL}/{kind}_se": errors[kind]}
    return found
