"""How alike features of an image and of its augmented copy are, per op and strength; label-free.

The mean cosine, less the mean cosine of two unrelated images: 0 is an encoder that tells a copy from its original as
well as it tells any two images apart, and one that calls all images alike scores 0 too.

Source: AugSelf (arXiv 2111.09613, appendix A) compares f(t(x)) with f(x) by cosine; the baseline is ours.
"""

from collections.abc import Mapping

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from augment import config
from augment.ops import blur, color_jitter, crop, flip, grayscale, rotate, solarize
from augment.views import Step
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import unit
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.sample import sample, tested_split
from orchestrator.probing.score import Score
from orchestrator.probing.views import augmented

PROTOCOL = "invariance/1"
SEED = 20211206
STRENGTHS = (0.5, 1.0, 2.0)  # 1 is what contrastive methods train with, or about half of what they may draw


def _color_jitter(strength: float) -> color_jitter.Config:
    usual = color_jitter.Config(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=1.0)
    return color_jitter.scaled(usual, strength)


def _crop(strength: float) -> crop.Config:
    """Squares of 0.8, 0.6 and 0.2 of the image."""
    area = 1 - 0.4 * strength
    return crop.Config(scale=(area, area), ratio=(1.0, 1.0))


# By name of the score. Ops that are done or not done have one strength.
STEPS: Mapping[str, Step] = (
    {f"crop_{s:g}": Step("crop", crop, _crop(s)) for s in STRENGTHS}
    | {f"color_jitter_{s:g}": Step("color_jitter", color_jitter, _color_jitter(s)) for s in STRENGTHS}
    | {f"blur_{s:g}": Step("blur", blur, blur.Config(sigma=(s, s), p=1.0)) for s in STRENGTHS}
    | {
        f"solarize_{s:g}": Step("solarize", solarize, solarize.Config(threshold=(1 - s / 4, 1 - s / 4), p=1.0))
        for s in STRENGTHS
    }
    | {
        "grayscale": Step("grayscale", grayscale, grayscale.Config(p=1.0)),
        "flip": Step("flip", flip, flip.Config(p=1.0)),
        "rotate": Step("rotate", rotate, rotate.Config(p=1.0)),
    }
)


class Config(config.Config):
    """How many images to look at.

    Args:
        images: at most so many of the test split.
    """

    images: int = Field(1000, ge=2)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Mean cosine above that of unrelated images, for each op and strength: from about 0 to 1.

    Raises:
        ValueError: if there is nothing to test on.
    """
    split = tested_split(data.card)
    tested = sample(data.images(split), config.images)
    originals = unit(encoder.features(tested.images))
    unrelated = mean_cosine(originals)
    scores = []
    for name, step in STEPS.items():
        copies = augmented(tested.images, {"copy": [step]}, seed=SEED)["copy"]
        # A rotation may turn out to be none; such copies say nothing.
        changed = step.op.describe(copies.params[step.name]).any(dim=1)
        cosine = (originals * unit(encoder.features(copies.images))).sum(dim=1)[changed].double()
        count, mean = len(cosine), float(cosine.mean())
        error = float(cosine.std(correction=0)) / count**0.5
        note = f"cosine {mean:.3f}, of unrelated images {unrelated:.3f}"
        scores.append(Score(split, name, mean - unrelated, error, count, note))
    return scores


def mean_cosine(features: Float[Tensor, "N D"]) -> float:
    """The mean over all pairs of two different rows, which are of length 1."""
    count = len(features)
    total = features.double().sum(dim=0).square().sum()  # of all pairs, each row with itself too
    return float((total - features.double().square().sum()) / (count * (count - 1)))
