"""How much features retain of an augmentation: crop, colour, blur and flip, predicted from pairs; label-free.

Each op makes two copies of an image, and a linear regression on the difference of their features, and on its absolute
value, predicts how their parameters differ. Where that succeeds, the encoder is not invariant to the op.

Source: what AugSelf (arXiv 2111.09613) trains for, measured on frozen features, with its targets but one op at a
time, because a crop's x depends on the flip. The difference alone does not show whether flips agree; its absolute value
does.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from augment import config
from augment.ops import blur, color_jitter, crop, flip
from augment.views import Step, Target
from orchestrator.data.images import ImageSet
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import standard_error
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.ridge import determination, fit_ridge
from orchestrator.probing.sample import sample, tested_split
from orchestrator.probing.score import Score
from orchestrator.probing.views import augmented

PROTOCOL = "augmentation_knowledge/1"
SEED = 20211118
SMALLEST_STD = 1e-6  # of a constant feature
# Every copy is augmented: the question is how strongly, not whether.
STEPS: Mapping[str, Step] = {
    "crop": Step("crop", crop, crop.Config(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3))),
    "color_jitter": Step(
        "color_jitter", color_jitter, color_jitter.Config(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=1.0)
    ),
    "blur": Step("blur", blur, blur.Config(sigma=(0.1, 2.0), p=1.0)),
    "flip": Step("flip", flip, flip.Config(p=0.5)),
}
PARTS: Mapping[str, tuple[str, ...]] = {
    "crop": ("y", "x", "height", "width"),
    "color_jitter": ("brightness", "contrast", "saturation", "hue"),
    "blur": ("sigma",),
}


class Config(config.Config):
    """How many pairs to make.

    Args:
        pairs: most pairs to fit on, from `validation`, and most to test on, one of each image.
    """

    pairs: int = Field(2000, ge=2)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """For crop, colour jitter and blur, R2 and mean squared error; for the flip, accuracy in percent (50 by chance).

    Raises:
        ValueError: if there are no test images.
    """
    split = tested_split(data.card)
    known, tested = (sample(data.images(name), config.pairs) for name in ("validation", split))
    # Differences are scaled by the spread of the features over images: where an op changes nothing they are rounding
    # errors, which would reveal a flip if they were scaled up.
    spread = encoder.features(known.images).std(dim=0, correction=0).clamp_min(SMALLEST_STD)
    scores = []
    for op, step in STEPS.items():
        fitted, known_target = _pairs(encoder, known, step, spread)
        asked, target = _pairs(encoder, tested, step, spread)
        ridge = fit_ridge(fitted, known_target.values)
        predicted, truth = ridge.predict(asked), target.values.double()
        note = f"ridge on {len(known)} validation pairs, L2={ridge.penalty:g}"
        scores += (
            _flip_scores(split, predicted, truth, note)
            if target.kind == "binary"
            else _regression_scores(split, op, predicted, truth, note)
        )
    return scores


def _pairs(
    encoder: FrozenEncoder, images: ImageSet, step: Step, spread: Float[Tensor, "D"]
) -> tuple[Float[Tensor, "N 2*D"], Target]:
    """The differences of the features of two copies, and of their parameters."""
    copies = augmented(images.images, {"first": [step], "second": [step]}, seed=SEED)
    first, second = (encoder.features(copy.images) / spread for copy in copies.values())
    target = step.op.compare(copies["first"].params, copies["second"].params)
    return torch.cat((first - second, (first - second).abs()), dim=1), target


def _regression_scores(split: str, op: str, predicted: Tensor, truth: Tensor, note: str) -> list[Score]:
    parts = determination(predicted, truth)
    each = ", ".join(f"{name} {float(part):.2f}" for name, part in zip(PARTS[op], parts, strict=True))
    squares = (predicted - truth).square().mean(dim=1)  # (N,)
    count, error = len(truth), float(squares.std(correction=0)) / len(truth) ** 0.5
    return [
        Score(split, f"{op}_r2", float(parts.mean()), None, count, f"{each}; {note}"),
        Score(split, f"{op}_mse", float(squares.mean()), error, count, note),
    ]


def _flip_scores(split: str, predicted: Tensor, truth: Tensor, note: str) -> list[Score]:
    share = float(((predicted > 0.5) == (truth > 0.5)).double().mean())
    count = len(truth)
    return [Score(split, "flip_accuracy", 100 * share, standard_error(share, count), count, note)]
