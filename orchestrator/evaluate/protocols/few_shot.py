"""Few-shot accuracy: thousands of small tasks, each a classifier fitted to a few images of classes it never saw.

Every task draws some classes of the test split, a few images of each to fit a logistic regression on, and others to
score it on. All tasks are solved at once, in the span of their few images.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from augment import config, draws
from orchestrator.probing.data import EvaluationData, Features
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score

PROTOCOL = "few_shot/1"
SPLIT = "test/original"

# The protocol's constants; another value is another protocol and gets another number.
C = 1.0  # weight of the loss of each image against the penalty of the weights
TOLERANCE = 1e-8  # how far an image's weight, between 0 and C, may be from its optimum
MOST_STEPS = 100  # of Newton's method
SIZES = 0.5 ** torch.arange(8, dtype=torch.float64)  # of a step

CHUNK = 100  # tasks drawn and solved at once, which bounds the memory


class Config(config.Config):
    """Which tasks are drawn.

    Args:
        ways: classes of a task.
        shots: images of each class that are fitted on; each number makes a score of its own.
        queries: images of each class that are scored.
        tasks: how many.
        seed: of their draws.
    """

    ways: int = Field(5, ge=2)
    shots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)] = (1, 5)
    queries: int = Field(16, ge=1)
    tasks: int = Field(2000, ge=2)
    seed: int = Field(0, ge=0, lt=2**32)


@dataclass(frozen=True)
class Tasks:
    """Rows of the test split, by task, class of the task, and image."""

    support: Int64[Tensor, "T N K"]
    queries: Int64[Tensor, "T N Q"]


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Mean accuracy over the tasks, in percent, one score per number of shots.

    Raises:
        ValueError: if there is no labelled test split, or too few of its classes have more images than shots.

    Source: Lee et al., "Improving transferability of representations via augmentation-aware self-supervision" (NeurIPS
        2021), section 4.2, and its code: raw features, scikit-learn's liblinear. There, some data sets merge train and
        test; here the tasks come from the test split alone. The error is that of drawing tasks from these images, not
        that of drawing the images.
    """
    if SPLIT not in data.card.splits:
        raise ValueError(f"tasks are drawn from {SPLIT}, which does not exist")
    features = data.features(SPLIT)
    return [_scored(features, shots, config) for shots in config.shots]


def _scored(features: Features, shots: int, config: Config) -> Score:
    accuracy = torch.cat(
        [
            task_accuracies(features.values, draw_tasks(features.labels, rows, shots, config))
            for rows in torch.arange(config.tasks).split(CHUNK)
        ]
    )
    error = 100 * float(accuracy.std()) / config.tasks**0.5
    return Score(
        split=SPLIT,
        metric=f"{shots}-shot",
        value=100 * float(accuracy.mean()),
        error=error,
        count=config.tasks,
        note=f"{config.ways} ways, {config.queries} queries, 95 % interval ±{1.96 * error:.2f}",
    )


def draw_tasks(labels: Int64[Tensor, "M"], rows: Int64[Tensor, "T"], shots: int, config: Config) -> Tasks:
    """Draws classes and distinct images of each; in a class that is too small, queries may repeat.

    Args:
        labels: classes of the images.
        rows: numbers of the tasks to draw; a task does not depend on which others are drawn.
        shots: images of each class to fit on. Classes with no more images than this are never drawn.
        config: how many ways and queries, and the seed.

    Raises:
        ValueError: if fewer classes than ways are left.
    """
    counts = labels.bincount()
    large = (counts > shots).nonzero().flatten()
    if len(large) < config.ways:
        law = f"{config.ways}-way tasks need as many classes with more than {shots} images"
        raise ValueError(f"{law}, and {SPLIT} has {len(large)}")
    longest = int(counts[large].max())
    requests = [("classes", len(large)), ("images", config.ways * longest), ("repeats", config.ways * config.queries)]
    streams = [(draws.stream(f"few_shot/{shots}/{name}"), slots) for name, slots in requests]
    for_classes, for_images, for_repeats = draws.uniform_slices(config.seed, 0, rows, streams)
    chosen = large[for_classes.argsort(dim=1, stable=True)[:, : config.ways]]  # (T, N)
    sizes = counts[chosen][..., None]  # (T, N, 1)
    keys = for_images.unflatten(1, (config.ways, longest))
    order = keys.masked_fill(torch.arange(longest) >= sizes, 2).argsort(dim=-1, stable=True)  # images first, drawn
    others = sizes - shots
    repeats = (for_repeats.unflatten(1, (config.ways, config.queries)) * others).long()
    places = shots + torch.where(others < config.queries, repeats, torch.arange(config.queries))
    grouped, starts = labels.argsort(stable=True), counts.cumsum(0) - counts
    images = grouped[starts[chosen][..., None] + torch.cat((order[..., :shots], order.gather(-1, places)), dim=-1)]
    return Tasks(images[..., :shots], images[..., shots:])


def task_accuracies(features: Float[Tensor, "M D"], tasks: Tasks) -> Float[Tensor, "T"]:
    """Share of each task's queries that are given their own class, in [0, 1]."""
    ways, queries = tasks.queries.shape[1:]
    decisions = decision_values(features[tasks.support.flatten(1)], features[tasks.queries.flatten(1)], ways)
    answers = torch.arange(ways).repeat_interleave(queries)
    return (decisions.argmax(dim=1) == answers).double().mean(dim=1)


def decision_values(
    support: Float[Tensor, "T n D"], queries: Float[Tensor, "T m D"], ways: int
) -> Float[Tensor, "T N m"]:
    """What one-against-all logistic regressions, fitted on each task's support, say of its queries.

    For each class it minimises |w|^2 / 2 + C * sum log(1 + exp(-y w.x)), where x ends in a constant 1, so that the bias
    is penalised as well. The minimum is a sum of the support's images, w = sum a_i x_i, so Newton's method looks for
    the (n,) numbers a, in float64, and D costs one product per pair of images.

    Args:
        support: features to fit on, as many of each class, class after class.
        queries: features to classify.
        ways: number of classes N.

    Source: R.-E. Fan et al., "LIBLINEAR" (JMLR 9, 2008), solver 0, as scikit-learn calls it (intercept_scaling = 1).

    Raises:
        ValueError: if a feature is not finite.
    """
    own = torch.eye(ways, dtype=torch.float64).repeat_interleave(support.shape[1] // ways, dim=1)  # (N, n)
    signs = (2 * own - 1).expand(len(support), -1, -1)
    support, queries = support.double(), queries.double()
    gram = support @ support.mT + 1  # (T, n, n), of features that end in 1
    return _solved(gram, signs) @ (support @ queries.mT + 1)


def _solved(gram: Float[Tensor, "T n n"], signs: Float[Tensor, "T N n"]) -> Float[Tensor, "T N n"]:
    """The numbers a of every class of every task, by Newton's method."""
    weights, scores = torch.zeros_like(signs), torch.zeros_like(signs)
    for _ in range(MOST_STEPS):
        slack = C * torch.sigmoid(-signs * scores)
        residual = weights - signs * slack  # 0 at the minimum
        if float(residual.abs().max()) < TOLERANCE:
            return weights
        # With w = X' a the Hessian is I + X' S X, which X' step solves for the gradient X' residual.
        curvature = slack * (1 - slack / C)
        system = curvature[..., None] * gram[:, None] + torch.eye(gram.shape[-1], dtype=gram.dtype)
        step = torch.linalg.solve(system, residual)
        sizes = _best_sizes(weights, scores, step, step @ gram, signs)
        weights = weights - sizes * step
        scores = weights @ gram
    raise ValueError(f"Newton's method did not converge in {MOST_STEPS} steps; check that all features are finite")


def _best_sizes(
    weights: Float[Tensor, "T N n"],
    scores: Float[Tensor, "T N n"],
    step: Float[Tensor, "T N n"],
    change: Float[Tensor, "T N n"],
    signs: Float[Tensor, "T N n"],
) -> Float[Tensor, "T N 1"]:
    """The fraction of each step that lowers its objective most; a whole step overshoots where features are long."""
    sizes = SIZES.view(-1, 1, 1, 1)
    tried = scores - sizes * change
    penalty = ((weights - sizes * step) * tried).sum(dim=-1) / 2
    objective = penalty + C * functional.softplus(-signs * tried).sum(dim=-1)  # (sizes, T, N)
    return SIZES[objective.argmin(dim=0)][..., None]
