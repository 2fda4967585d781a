"""Accuracy of an encoder and its classifier under adversarial attack, with checks for masked gradients.

Attacks are white-box and change each value of the image, at the size that the encoder takes, by at
most eps. An attack may fail because the gradient is masked, not because the model is robust: five signs of masking
(Athalye et al., arXiv 1802.00420, section 3.1, with restarts for its random search) are looked for. An encoder that
ignores the image shows some of them too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from augment import config
from orchestrator.data.images import ImageSet
from orchestrator.probing.attacks import Model, fgsm, pgd, square
from orchestrator.probing.classifiers import Logits, classifier
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.draw import Draw
from orchestrator.probing.features import labels_of, standard_error
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.sample import sample, tested_split
from orchestrator.probing.score import Score

PROTOCOL = "adversarial/2"
SEED = 20170619
RESTARTS = 5  # of the check whether one start is enough
TOLERANCE = 3.0  # percentage points by which chance may turn a comparison of two attacks
RESTARTS_FIND = 10.0  # percentage points that restarts may take and one start still count as enough
CHUNK = 128  # images with gradients at once
LIMIT = 255.0  # the largest byte


def _ascending(eps: tuple[float, ...]) -> tuple[float, ...]:
    if any(after <= before for before, after in pairwise(eps)):
        raise ValueError(f"eps must ascend, got {list(eps)}")
    return eps


class Config(config.Config):
    """How hard to try.

    Args:
        eps: largest changes, ascending, in byte values.
        steps: of PGD.
        queries: of the attack without gradients.
        images: at most so many of the test split.
    """

    eps: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=LIMIT)], ...],
        Field(strict=False, min_length=1),
        AfterValidator(_ascending),
    ] = (1.0, 2.0, 4.0, 8.0)
    steps: int = Field(20, ge=1)
    queries: int = Field(200, ge=1)
    images: int = Field(500, ge=1)


@dataclass(frozen=True)
class Outcome:
    """The result of an attack.

    Args:
        right: which images are still classified correctly.
        loss: the mean cross-entropy.
    """

    right: Bool[Tensor, "N"]
    loss: float

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float(self.right.double().mean())


@dataclass(frozen=True)
class Attacked:
    """A classifier and the images on which it is attacked.

    Args:
        model: the whole classifier.
        images: in [0, 1], of the encoder's size.
        labels: the right classes.
        steps: of PGD.
        queries: of the attack without gradients.
    """

    model: Model
    images: Float[Tensor, "N 3 S S"]
    labels: Int64[Tensor, "N"]
    steps: int
    queries: int

    def clean(self) -> Outcome:
        """Without an attack."""
        return self._outcome(lambda images, labels, draw: images, "clean")

    def fgsm(self, eps: float) -> Outcome:
        """FGSM, one step."""
        return self._outcome(lambda images, labels, draw: fgsm(self.model, images, labels, eps / LIMIT), "fgsm")

    def pgd(self, eps: float, start: int = 0) -> Outcome:
        """PGD; `start` numbers the random starting point."""
        return self._outcome(
            lambda images, labels, draw: pgd(self.model, images, labels, eps / LIMIT, steps=self.steps, draw=draw),
            f"pgd {start}",
        )

    def square(self, eps: float) -> Outcome:
        """Square Attack."""
        return self._outcome(
            lambda images, labels, draw: square(
                self.model, images, labels, eps / LIMIT, queries=self.queries, draw=draw
            ),
            "square",
        )

    def _outcome(self, attack: Callable[[Tensor, Tensor, Draw], Tensor], name: str) -> Outcome:
        right, loss = [], 0.0
        for rows in torch.arange(len(self.images)).split(CHUNK):
            labels = self.labels[rows]
            attacked = attack(self.images[rows], labels, Draw(SEED, rows, name))
            with torch.no_grad():
                logits = self.model(attacked)
            right.append(logits.argmax(dim=1) == labels)
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        return Outcome(torch.cat(right), loss / len(self.images))


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy under each attack, in percent, and how many of the five signs of a masked gradient were seen.

    Raises:
        ValueError: if there are no test images, no classifier, or no labels.
    """
    split = tested_split(data.card)
    classify, by = classifier(encoder, data)
    attacked = _attacked(encoder, classify, sample(data.images(split), config.images), config)
    clean = attacked.clean()
    one_step = {eps: attacked.fgsm(eps) for eps in config.eps}
    many_steps = {eps: attacked.pgd(eps) for eps in config.eps}
    # At an eps where both a stronger and a weaker attack would show.
    middle = min(config.eps, key=lambda eps: abs(many_steps[eps].accuracy - clean.accuracy / 2))
    restarts = [many_steps[middle].right, *(attacked.pgd(middle, start).right for start in range(1, RESTARTS))]
    survived = Outcome(torch.stack(restarts).all(dim=0), many_steps[middle].loss)
    blind, unbounded = attacked.square(middle), attacked.pgd(LIMIT)

    losses = [clean.loss, *(many_steps[eps].loss for eps in config.eps)]
    signs = {
        "loss does not rise with eps": any(after <= before for before, after in pairwise(losses)),
        "one step beats many": any(one_step[eps].accuracy < many_steps[eps].accuracy - TOLERANCE for eps in config.eps),
        "squares beat gradients": blind.accuracy < many_steps[middle].accuracy - TOLERANCE,
        "restarts find much more": survived.accuracy < many_steps[middle].accuracy - RESTARTS_FIND,
        "no bound on eps does not suffice": unbounded.accuracy > TOLERANCE,
    }
    seen = [sign for sign, is_seen in signs.items() if is_seen]
    steps = f"L-inf, {config.steps} steps"
    return [
        _score(split, "clean", clean, by),
        *(_score(split, f"fgsm_{eps:g}", one_step[eps], f"L-inf, eps={eps:g}/255") for eps in config.eps),
        *(_score(split, f"pgd_{eps:g}", many_steps[eps], f"{steps}, eps={eps:g}/255") for eps in config.eps),
        _score(split, "pgd_restarts", survived, f"{steps}, eps={middle:g}/255, worst of {RESTARTS} starts"),
        _score(split, "square", blind, f"L-inf, {config.queries} queries, eps={middle:g}/255"),
        _score(split, "pgd_unbounded", unbounded, f"{steps}, eps=255/255"),
        Score(split, "masking_signs", float(len(seen)), None, len(attacked.labels), "; ".join(seen) or "none seen"),
    ]


def _attacked(encoder: FrozenEncoder, classify: Logits, tested: ImageSet, config: Config) -> Attacked:
    mean, std = (torch.tensor(values, device=encoder.device).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    prepared = torch.cat([encoder.prepared(chunk) for chunk in torch.from_numpy(tested.images).split(CHUNK)])
    return Attacked(
        lambda images: classify(encoder.network((images - mean) / std).float().cpu()).to(encoder.device),
        (prepared * std + mean).clamp(0, 1),
        labels_of(tested).to(encoder.device),
        config.steps,
        config.queries,
    )


def _score(split: str, metric: str, outcome: Outcome, note: str) -> Score:
    count = len(outcome.right)
    error = standard_error(outcome.accuracy / 100, count)
    return Score(split, metric, outcome.accuracy, error, count, f"{note}, loss {outcome.loss:.3g}")
