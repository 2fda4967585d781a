"""Classifiers on features: the encoder's own head, or a fitted linear classifier."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from orchestrator.data.images import ImageSet
from orchestrator.probing import linear_probe
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import labels_of
from orchestrator.probing.frozen import FrozenEncoder

Logits = Callable[[Float[Tensor, "N D"]], Float[Tensor, "N C"]]

OWN_HEAD = "its own head"
FITTED = f"standardised, L-BFGS, L2={linear_probe.L2:g}"


def own_head(encoder: FrozenEncoder, label_space: str | None, num_classes: int) -> Logits | None:
    """The encoder's own classifier, if it knows these classes.

    Args:
        encoder: with or without a head.
        label_space: of the wanted classes, or None if the data set has classes of its own.
        num_classes: of that space.

    Raises:
        ValueError: raised by the classifier, if the head has another number of logits.
    """
    head = encoder.head
    if head is None or label_space is None or encoder.label_space != label_space:
        return None

    def logits(features: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        found = head(features.to(encoder.device)).float().cpu()
        if found.shape[1] != num_classes:
            raise ValueError(f"the encoder's head has {found.shape[1]} logits, and {label_space} {num_classes} classes")
        return found

    return logits


def fitted(data: EvaluationData, split: str) -> Logits:
    """The linear classifier of `linear_val/2`, fitted on a split.

    Raises:
        ValueError: if there is no such split, or it has no labels.
    """
    if not data.card.train_size:
        raise ValueError(
            "there are no training images to fit a classifier on, and the encoder has no head for these classes; give "
            "the data set training images"
        )
    known = data.features(split)
    return linear_probe.fit_linear(known.values, known.labels).logits


def classifier(encoder: FrozenEncoder, data: EvaluationData) -> tuple[Logits, str]:
    """The encoder's own head if it knows the classes of the data, otherwise one fitted on `bank`; and a note of which.

    Both are differentiable.

    Raises:
        ValueError: if it has no head for them and there are no training images.
    """
    own = own_head(encoder, data.card.label_space, data.card.num_classes or 0)
    return (own, OWN_HEAD) if own else (fitted(data, "bank"), FITTED)


def likeliest(logits: Logits) -> Callable[[Float[Tensor, "N D"]], Int64[Tensor, "N"]]:
    """The class of each feature vector, by a classifier."""
    return lambda features: logits(features).argmax(dim=1)


def among(logits: Float[Tensor, "N C"], classes: Sequence[int] | None) -> Int64[Tensor, "N"]:
    """The likeliest class of each image.

    Args:
        logits: of all classes.
        classes: to choose among, or None for all. Classes that the classifier does not know are never chosen.
    """
    if classes is None:
        return logits.argmax(dim=1)
    known = torch.tensor([one for one in classes if one < logits.shape[1]])
    return known[logits[:, known].argmax(dim=1)]


def right(predicted: Int64[Tensor, "N"], images: ImageSet) -> Bool[Tensor, "N"]:
    """Whether each prediction is the image's label, or one that counts as right.

    Raises:
        ValueError: if the images have no labels.
    """
    if images.accepted is None:
        return predicted == labels_of(images)
    return torch.from_numpy(images.accepted)[torch.arange(len(predicted)), predicted]
