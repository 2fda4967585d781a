"""Accuracy under distribution shift, and the drop from the original distribution.

The classifier is the encoder's own head if its classes are those of the data set, and otherwise `linear_val/2`'s,
fitted on `bank`. It chooses among the classes that occur in the data set (`DatasetCard.present`): 200 of ImageNet's
1000 for ImageNet-A and -R, as is usual. Where several classes are right (ReaL, ObjectNet), any of them counts.
"""

from augment import config
from orchestrator.probing.classifiers import among, classifier, right
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import standard_error
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import difference

PROTOCOL = "shift/2"


class Config(config.Config):
    """The reference of the comparison.

    Args:
        reference: the test variant that the others are compared with; by default the first of several.
    """

    reference: str | None = None


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant in percent, and the drop to each from the reference in percentage points.

    The drop's standard error treats the two as measured on different images.

    Raises:
        ValueError: if there is no shifted variant, no such reference, no classifier, or no labels.
    """
    card = data.card
    if card.variants in ((), ("original",)):
        raise ValueError("there is no test variant but the original")
    if config.reference not in (None, *card.variants):
        raise ValueError(f"reference must be one of {', '.join(card.variants)}, got {config.reference!r}")
    reference = config.reference or (card.variants[0] if len(card.variants) > 1 else None)
    classify, note = classifier(encoder, data)
    if card.present is not None:
        note += f", among {len(card.present)} of {card.num_classes} classes"
    found = {}
    for variant in card.variants:
        split = f"test/{variant}"
        hits = right(among(classify(data.values(split)), card.present), data.images(split))
        share = float(hits.double().mean())
        found[variant] = Score(split, "accuracy", 100 * share, standard_error(share, len(hits)), len(hits), note)
    drops = [_drop(found[reference], score) for variant, score in found.items() if reference and variant != reference]
    return [*found.values(), *drops]


def _drop(reference: Score, shifted: Score) -> Score:
    note = f"{reference.split} minus {shifted.split}; {shifted.note}"
    return Score(shifted.split, "drop", *difference(reference, shifted), shifted.count, note)
