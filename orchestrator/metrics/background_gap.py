"""How much of the kNN accuracy comes from a background that fits the class: less is better.

The vote is that of `val_knn/1`, but by the training images, whose labels are tied to their backgrounds as far as the
data tie them: only there is a background a short cut. (By `bank`, where class and background are independent, the
gap of fashion_scenes is negative, and lowest for raw pixels: an aim that would reward looking at the background.)
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
    """After the last epoch, unless told otherwise."""


def evaluate(encode: Encode, splits: Mapping[str, ImageSet], config: Config) -> dict[str, float]:
    """Accuracy on `mixed_same` less that on `mixed_rand`, in percentage points, and the two in percent.

    The gap's standard error takes the two as measured on different images. They are drawn apart, but from the same
    foregrounds, so the truth is a little smaller.

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
