"""Accuracy with 1 % and 10 % of the labels, by a linear classifier and by fine-tuning the encoder.

The classifier is that of `linear_test/2`, on cached features. Fine-tuning trains a copy; the encoder stays frozen.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD

from augment import config, draws
from orchestrator.data.images import ImageSet, drawn_places, fingerprint
from orchestrator.probing import linear_probe
from orchestrator.probing.classifiers import FITTED
from orchestrator.probing.crops import Schedule, descend
from orchestrator.probing.data import EvaluationData, Features
from orchestrator.probing.features import labels_of
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import USUAL, Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "limited_labels/2"


@dataclass(frozen=True)
class Rates:
    """Initial learning rates for a batch of 256 images."""

    trunk: float
    head: float


# Constants of the protocol: changing one requires a new version.
RATES = {1: Rates(trunk=0.02, head=5.0), 10: Rates(trunk=0.01, head=0.2)}
REFERENCE_BATCH = 256
BATCH_SIZE = 32
MOMENTUM = 0.9
DROP = 0.2

Percent = Literal[1, 10]


class Config(config.Config):
    """Which labels, and how long the encoder is fine-tuned.

    Args:
        percents: of the labelled images; each gives separate scores.
        epochs: of fine-tuning; the rates drop after 60 % and 80 % of them, as the reference's do after 12 and 16 of 20.
        seed: of the choice of labels, and of fine-tuning.
    """

    percents: Annotated[tuple[Percent, ...], Field(strict=False, min_length=1)] = (1, 10)
    epochs: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant from a few labels of `bank`, in percent, by both methods.

    Raises:
        ValueError: if a split has no labels.

    Source: arXiv 2006.09882, section 4.2, and its code: 20 epochs, the trunk's and the head's rates 0.02 and 5 at 1 %,
        0.01 and 0.2 at 10 %, times 0.2 after 12 and 16, momentum 0.9, no weight decay, batch norms training. There,
        1 % are 12811 images and make 50 batches of 256; here a batch has 32, and the rates are those over 8, so that
        1 % of a small data set is more than one step an epoch. There, the best epoch on the test images is reported;
        here it is the last. The images that keep their labels are drawn, where the reference reads a published list.
    """
    images, scores = data.images("bank"), []
    labels = labels_of(images)
    for percent in config.percents:
        rows = chosen_rows(labels, percent, config.seed)
        note = f"{len(rows)} of {len(labels)} labels ({fingerprint(rows.tolist())[:8]})"
        few = ImageSet(images.images[rows.numpy()], labels[rows].numpy())
        for way, found in (
            ("linear", _linear(data, rows, note)),
            ("finetune", _finetune(encoder, data, few, RATES[percent], config, note)),
        ):
            scores += [replace(score, metric=_named(score.metric, f"{way}_{percent}pct")) for score in found]
    return scores


def _named(metric: str, kind: str) -> str:
    return kind if metric == USUAL else f"{kind}_{metric}"


def chosen_rows(labels: Int64[Tensor, "N"], percent: int, seed: int) -> Int64[Tensor, "n"]:
    """The images that keep their labels: equally many of each class, at least one, or all of a small class.

    Args:
        labels: classes from 0.
        percent: of the images, 1 to 100; a larger share includes a smaller one.
        seed: of the choice.

    Returns:
        Rows, ascending.
    """
    counts = labels.bincount()
    share = percent / 100 * len(labels) / int((counts > 0).sum())
    _, places = drawn_places(labels.numpy(), draws.derive_seed(seed, "limited_labels"))
    return torch.from_numpy(np.flatnonzero(places < max(1, round(share))))


def _linear(data: EvaluationData, rows: Int64[Tensor, "n"], note: str) -> list[Score]:
    bank = data.features("bank")
    probe = linear_probe.fit_linear(bank.values[rows], bank.labels[rows])
    return over_variants(data, probe.predict, f"{note}, {FITTED}")


def _finetune(
    encoder: FrozenEncoder, data: EvaluationData, few: ImageSet, rates: Rates, config: Config, note: str
) -> list[Score]:
    tuned, weight, bias = finetuned(encoder, few, rates, config)

    def features(split: str) -> Features:
        images = data.images(split)
        return Features(tuned.features(images.images), labels_of(images))

    return over_variants(
        data,
        lambda values: functional.linear(values, weight, bias).argmax(dim=1),
        f"{note}, {config.epochs} epochs of batches of {BATCH_SIZE}",
        features=features,
    )


def finetuned(
    encoder: FrozenEncoder, few: ImageSet, rates: Rates, config: Config
) -> tuple[FrozenEncoder, Float[Tensor, "C D"], Float[Tensor, "C"]]:
    """A trained copy of the encoder, and the weights and biases of its classifier, on CPU.

    Args:
        encoder: left as it is.
        few: the images with labels.
        rates: at the start, of a batch of 256.
        config: how long, and the seed.

    Raises:
        ValueError: if the images have no labels.
    """
    trunk = encoder.trainable()
    for part in trunk.modules():
        part.train(
            isinstance(part, _BatchNorm)
        )  # dropout stays off: it would draw from a generator that we do not seed
    num_classes, num_features = int(labels_of(few).max()) + 1, encoder.features(few.images[:1]).shape[1]
    weight, bias = (
        # torch's own first weights of a linear layer, as in the reference
        ((2 * draws.uniform(config.seed, f"limited_labels/{name}", shape) - 1) / num_features**0.5)
        .to(encoder.device)
        .requires_grad_()
        for name, shape in (("weight", (num_classes, num_features)), ("bias", (num_classes,)))
    )
    scale = BATCH_SIZE / REFERENCE_BATCH
    optimizer = SGD(
        [
            {"params": list(trunk.parameters()), "lr": scale * rates.trunk},
            {"params": [weight, bias], "lr": scale * rates.head},
        ],
        momentum=MOMENTUM,
    )
    schedule = Schedule(config.epochs, BATCH_SIZE, DROP, config.seed)
    descend(lambda views: functional.linear(trunk(views).float(), weight, bias), optimizer, few, encoder, schedule)
    tuned = replace(encoder, network=trunk.eval().requires_grad_(False), head=None, label_space=None)
    return tuned, weight.detach().cpu(), bias.detach().cpu()
