"""Similarity of the features of an image and its augmented copy, per op and strength; label-free.

The mean cosine minus the mean cosine of two unrelated images: an encoder scores 0 if it separates a copy from its
original as well as any two images, and also if all its features are equal.

Source: AugSelf (arXiv 2111.09613, appendix A) compares f(t(x)) with f(x) by cosine; the baseline is ours.
"""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from augment import config
from augment.views import Step
from orchestrator.core.registry import find, names
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import unit
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.sample import sample, tested_split
from orchestrator.probing.score import Score
from orchestrator.probing.views import augmented

PROTOCOL = "invariance/1"
SEED = 20211206


def steps() -> dict[str, Step]:
    """The probes of every op that declares some, by name of the score: an op, and its strength if it has several."""
    modules = {name: find("augment.ops", name) for name in names("augment.ops")}
    return {
        f"{name}_{strength}".strip("_"): Step(name, op, settings)
        for name, op in modules.items()
        for strength, settings in getattr(op, "PROBES", {}).items()
    }


class Config(config.Config):
    """How many images to measure.

    Args:
        images: most images of the test split.
    """

    images: int = Field(1000, ge=2)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Mean cosine above that of unrelated images, for each op and strength: from about 0 to 1.

    Raises:
        ValueError: if there are no test images.
    """
    split = tested_split(data.card)
    tested = sample(data.images(split), config.images)
    originals = unit(encoder.features(tested.images))
    unrelated = mean_cosine(originals)
    scores = []
    for name, step in steps().items():
        copies = augmented(tested.images, {"copy": [step]}, seed=SEED)["copy"]
        # A rotation may be by 0 quarter turns; such copies are left out.
        changed = step.op.describe(copies.params[step.name]).any(dim=1)
        cosine = (originals * unit(encoder.features(copies.images))).sum(dim=1)[changed].double()
        count, mean = len(cosine), float(cosine.mean())
        error = float(cosine.std(correction=0)) / count**0.5
        note = f"cosine {mean:.3f}, of unrelated images {unrelated:.3f}"
        scores.append(Score(split, name, mean - unrelated, error, count, note))
    return scores


def mean_cosine(features: Float[Tensor, "N D"]) -> float:
    """The mean cosine over all pairs of different rows, which have length 1."""
    count = len(features)
    total = features.double().sum(dim=0).square().sum()  # over all pairs, including each row with itself
    return float((total - features.double().square().sum()) / (count * (count - 1)))
