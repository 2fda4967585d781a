"""The background challenge: how much a classifier relies on backgrounds, and whether some background fools it.

An encoder with a head for ImageNet's 1000 classes is scored on ImageNet-9 as in the challenge: the likeliest of all
1000 classes is mapped to its coarse class; a class without one counts as wrong. For all others the classifier of
`linear_val/2` is fitted on `bank`, and also on `train` if its labels are correlated with backgrounds.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from pydantic import Field
from torch import Tensor

from augment import config, draws
from orchestrator.data import imagenet_classes
from orchestrator.data.images import ImageSet
from orchestrator.datasets import imagenet9
from orchestrator.probing.classifiers import FITTED, OWN_HEAD, fitted, likeliest, own_head
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import CHUNK, labels_of, standard_error
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import RAND, SAME, over_variants

PROTOCOL = "background_challenge/2"
BACKGROUNDS, FOREGROUNDS = "only_bg_t", "original"
ONLY_BACKGROUND = ("only_bg_b", "only_bg_t")  # in no_fg, the hole has the shape of the object

Classes = Callable[[Float[Tensor, "N D"]], Int64[Tensor, "N"]]


class Config(config.Config):
    """How much of the adversarial test is run; a part of it is an easier test.

    Args:
        foregrounds: number drawn from `test/original`; all by default.
        backgrounds: number drawn from `test/only_bg_t`; all by default.
    """

    foregrounds: int | None = Field(None, ge=1)
    backgrounds: int | None = Field(None, ge=1)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on every variant, `bg_gap` (mixed_same less mixed_rand), and accuracy on adversarial backgrounds.

    For `adversarial_backgrounds`, each foreground of `original` is pasted by its mask on every background of
    `only_bg_t`; it counts as correct if no paste is misclassified. Metrics of a classifier that is fitted on
    `train` end in `_biased`.

    Raises:
        ValueError: if a variant, the masks or labels are missing, or there is no classifier.

    Source: Xiao et al., "Noise or signal", arXiv 2006.09994, sections 3 and 4. There, ImageNet-9's masks are hard;
        soft masks, as of fashion_scenes, are blended.
    """
    if missing := {SAME, RAND, BACKGROUNDS, FOREGROUNDS} - set(data.card.variants):
        raise ValueError(f"its test has no variant {', '.join(sorted(missing))}")
    scores = []
    for ending, (classes, note) in _classifiers(encoder, data).items():
        found = [*over_variants(data, classes, note), _adversarial(encoder, data, classes, config, note)]
        scores += [replace(_noted(score), metric=f"{score.metric}{ending}") for score in found]
    return scores


def _classifiers(encoder: FrozenEncoder, data: EvaluationData) -> Mapping[str, tuple[Classes, str]]:
    """The classifiers and a note of each, by the ending of their metrics."""
    card = data.card
    if card.label_space == imagenet9.LABEL_SPACE:
        thousand = own_head(encoder, imagenet_classes.LABEL_SPACE, imagenet_classes.NUM_CLASSES)
        if thousand:
            coarse = torch.from_numpy(imagenet_classes.to_imagenet9())
            return {"": (lambda features: coarse[likeliest(thousand)(features)], f"{OWN_HEAD}, of all 1000 classes")}
    if own := own_head(encoder, card.label_space, card.num_classes or 0):
        return {"": (likeliest(own), OWN_HEAD)}
    splits = {"": "bank"}
    if card.labelled("train") and not card.bank_is_train:
        splits["_biased"] = "train"
    return {
        ending: (likeliest(fitted(data, split)), f"fitted on {split}, {FITTED}") for ending, split in splits.items()
    }


def _noted(score: Score) -> Score:
    """Notes where lower is better."""
    background = score.split.removeprefix("test/") in ONLY_BACKGROUND
    return replace(score, note=f"lower is better; {score.note}") if background else score


def _adversarial(encoder: FrozenEncoder, data: EvaluationData, classes: Classes, config: Config, note: str) -> Score:
    images = data.images(f"test/{FOREGROUNDS}")
    if images.masks is None:
        raise ValueError(f"test/{FOREGROUNDS} has no foreground masks, which pasting needs")
    chosen = np.sort(_drawn("foregrounds", len(images), config.foregrounds))
    foregrounds = images.rows(chosen)
    images = data.images(f"test/{BACKGROUNDS}")
    # In random order, so that the first few are of all kinds and fool most foregrounds early.
    order = _drawn("backgrounds", len(images), config.backgrounds)
    stood = withstood(encoder, classes, foregrounds, images.images[order])
    share = float(stood.double().mean())
    extent = f"each of {len(chosen)} foregrounds on each of {len(order)} backgrounds"
    return Score(
        f"test/{FOREGROUNDS}",
        "adversarial_backgrounds",
        100 * share,
        standard_error(share, len(stood)),
        len(stood),
        f"{extent}; {note}",
    )


def _drawn(what: str, there: int, wanted: int | None) -> Int64[np.ndarray, "M"]:
    """Rows in random order, as many as wanted."""
    return draws.permutation(draws.derive_seed(0, PROTOCOL, what), 0, there).numpy()[:wanted]


@torch.no_grad()
def withstood(
    encoder: FrozenEncoder, classes: Classes, foregrounds: ImageSet, backgrounds: UInt8[np.ndarray, "M H W 3"]
) -> Bool[Tensor, "N"]:
    """Which foregrounds are classified correctly on every background.

    A misclassified foreground is not pasted again: if most are fooled, the cost is about N + M pastes instead of N M.

    Args:
        encoder: frozen.
        classes: the class of each feature vector.
        foregrounds: with masks and labels.
        backgrounds: of the same size.

    Raises:
        ValueError: if the foregrounds have no labels.
    """
    assert foregrounds.masks is not None, "checked by the caller"
    device = encoder.device
    labels, standing, at = labels_of(foregrounds), torch.arange(len(foregrounds)), 0
    objects, masks, behind = (
        torch.from_numpy(np.array(array)).to(device) for array in (foregrounds.images, foregrounds.masks, backgrounds)
    )
    while at < len(behind) and len(standing):
        block = behind[at : at + max(1, CHUNK // len(standing))]
        right = []
        for rows in standing.split(max(1, CHUNK // len(block))):
            pasted = pastes(objects[rows.to(device)], masks[rows.to(device)], block)
            features = encoder.network(encoder.prepared(pasted.flatten(0, 1))).float().cpu()
            right.append((classes(features).view(len(rows), -1) == labels[rows, None]).all(dim=1))
        standing, at = standing[torch.cat(right)], at + len(block)
    return torch.zeros(len(foregrounds), dtype=torch.bool).index_fill(0, standing, True)


def pastes(
    objects: UInt8[Tensor, "N H W 3"], masks: UInt8[Tensor, "N H W"], backgrounds: UInt8[Tensor, "M H W 3"]
) -> UInt8[Tensor, "N M H W 3"]:
    """Each object pasted onto each background.

    Args:
        objects: images of them.
        masks: coverage, 0 to 255; values in between blend.
        backgrounds: of the same height and width.
    """
    covered = masks[:, None, :, :, None].float() / 255  # (N, 1, H, W, 1)
    return (backgrounds.float().lerp(objects[:, None].float(), covered)).round().to(torch.uint8)
