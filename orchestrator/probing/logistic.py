"""Multinomial logistic regression by L-BFGS, fast enough to be solved for many penalties."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional

from orchestrator.core.torch_compat import without_compiler

MOST_ITERATIONS = 5000
GRADIENT_TOLERANCE = 1e-10  # largest entry of the gradient, in the fit's own coordinates, at which it ends
# torch ends a fit when a change is *less* than the tolerance, so 0 would continue after the loss has stopped changing.
CHANGE_TOLERANCE = math.ulp(0.0)
ITERATIONS_OF_A_RUN = 50  # after which the coordinates are renewed
LOSS_TOLERANCE = 1e-6  # a run that lowers the loss by a smaller share of it is the last
BLOCK = 1024  # rows or columns converted to float64 at once


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier.

    Args:
        weight: of features followed by a constant 1, whose column is the bias.
        ended: why the fit ended: the `gradient` was within its tolerance; a fresh run hardly lowered the `loss`; or the
            number of `iterations` was used up.
    """

    weight: Float64[Tensor, "C D1"]
    ended: Literal["gradient", "loss", "iterations"]

    def predict(self, features: Float[Tensor, "N D"]) -> Int64[Tensor, "N"]:
        """The likeliest class of each image, on CPU."""
        return (_ending_in_one(features.to(self.weight.device)) @ self.weight.T).argmax(dim=1).cpu()


@dataclass(frozen=True)
class _Run:
    iterations: int
    loss: float
    gradient: float  # its largest entry


class LogisticRegression:
    """Minimises the sum of the cross-entropies plus `penalty` times the sum of all squared weights.

    The problem is convex and its minimum does not depend on the coordinates, so L-BFGS works in coordinates in which
    the problem is about as steep in all directions. The penalty permits rotations of the features, to their principal
    axes, and of the classes; the rest is a scale for each parameter. With fewer images than features, the fit stays in
    the span of the features, since the minimum is 0 outside it.

    Args:
        features: to fit on, of any scale.
        labels: classes from 0, on the same device.
        num_classes: C, larger than every label.
        free_bias: whether the biases are not penalised, for features whose mean is about 0.

    Raises:
        ValueError: if a feature is not finite.
    """

    def __init__(
        self,
        features: Float[Tensor, "N D"],
        labels: Int64[Tensor, "N"],
        num_classes: int,
        *,
        free_bias: bool = False,
    ) -> None:
        if not bool(features.isfinite().all()):
            raise ValueError("some features are not finite; the encoder or its images are damaged")
        self._axes = _Axes(features if free_bias else functional.pad(features, (0, 1), value=1.0))
        self._free = int(free_bias)  # columns at the end that the penalty leaves out
        self._inputs = functional.pad(self._axes.coordinates(), (0, self._free), value=1.0)  # (N, K)
        self._labels, self._num_classes, self._width = labels, num_classes, features.shape[1] + 1

    def start(self) -> Float64[Tensor, "C D1"]:
        """The weights of a first fit: 0."""
        return self._inputs.new_zeros(self._num_classes, self._width)

    def fit(self, penalty: float, start: Float64[Tensor, "C D1"]) -> Classifier:
        """The minimum, or a point from which 50 more iterations take less than a millionth off the loss.

        Args:
            penalty: > 0.
            start: weights near it, such as those of a neighbouring penalty.
        """
        columns = self._width - self._free
        weight = torch.cat((self._axes.onto(start[:, :columns]), start[:, columns:]), dim=1)
        lowest, iterations, ended = math.inf, 0, "iterations"
        while iterations < MOST_ITERATIONS and ended == "iterations":
            weight, run = self._descend(weight, penalty)
            iterations += run.iterations
            if run.gradient <= GRADIENT_TOLERANCE:
                ended = "gradient"
            elif run.loss > (1 - LOSS_TOLERANCE) * lowest:
                ended = "loss"
            lowest = run.loss
        columns = weight.shape[1] - self._free
        return Classifier(torch.cat((self._axes.back(weight[:, :columns]), weight[:, columns:]), dim=1), ended)

    def _descend(self, weight: Float64[Tensor, "C K"], penalty: float) -> tuple[Float64[Tensor, "C K"], "_Run"]:
        """Some iterations of L-BFGS in the coordinates that suit the problem where it starts."""
        turn, scale = self._natural_coordinates(weight, penalty)
        variables = (turn.T @ weight / scale).requires_grad_()
        solver = without_compiler(torch.optim.LBFGS)(
            [variables],
            max_iter=ITERATIONS_OF_A_RUN,
            tolerance_grad=GRADIENT_TOLERANCE,
            tolerance_change=CHANGE_TOLERANCE,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            solver.zero_grad()
            scaled = variables * scale
            errors = functional.cross_entropy(self._inputs @ (turn @ scaled).T, self._labels, reduction="sum")
            value = errors + penalty * scaled[:, : scaled.shape[1] - self._free].square().sum()
            value.backward()
            return value

        with torch.enable_grad():
            solver.step(loss)  # pyright: ignore[reportArgumentType] - torch types the closure as returning a float
            last = loss()  # the solver's own last value may be that of a step which it did not take
        gradient = float("nan") if variables.grad is None else float(variables.grad.abs().max())
        run = _Run(solver.state[variables]["n_iter"], float(last.detach()), gradient)
        return turn @ (variables.detach() * scale), run

    def _natural_coordinates(
        self, weight: Float64[Tensor, "C K"], penalty: float
    ) -> tuple[Float64[Tensor, "C C"], Float64[Tensor, "C K"]]:
        """A rotation of the classes, and for each parameter the step that changes the loss as much as any other's.

        The Hessian at `weight` is, image by image, the covariance of the classes times that of the features. The
        rotation makes the mean of the former diagonal; the scale comes from the diagonal of the Hessian after it.
        """
        likely = torch.softmax(self._inputs @ weight.T, dim=1)  # (N, C)
        turn = torch.linalg.eigh(likely.sum(dim=0).diag() - likely.T @ likely).eigenvectors
        spread = likely @ turn.square() - (likely @ turn).square()  # (N, C), at least 0 but for rounding
        curvature = spread.clamp_min(0).T @ self._inputs.square() + 2 * penalty
        return turn, curvature.rsqrt()


def endings(classifiers: Iterable[Classifier]) -> str:
    """Why their fits ended, counted, the most frequent first: `40 by loss, 6 by gradient`."""
    counted = Counter(classifier.ended for classifier in classifiers)
    return ", ".join(f"{count} by {ended}" for ended, count in counted.most_common())


class _Axes:
    """Orthonormal axes of the features' span, in which their second moments are diagonal.

    They come from the eigenvectors of the smaller of the two matrices of products, (D, D) or (N, N), and with more
    features than images they are never written out: a float64 copy of raw pixels may be more than fits into memory.

    Args:
        features: of any scale; with more features than images, directions that are 0 but for rounding are left out.
    """

    def __init__(self, features: Float[Tensor, "N D"]) -> None:
        self._features = features
        self._tall = len(features) >= features.shape[1]
        values, vectors = torch.linalg.eigh(_products(features if self._tall else features.T))
        there = values > (-math.inf if self._tall else len(values) * torch.finfo(values.dtype).eps * values[-1])
        self._vectors, self._lengths = vectors[:, there], values[there].clamp_min(0).sqrt()

    def coordinates(self) -> Float64[Tensor, "N K"]:
        """The features on the axes; K is at most N and D."""
        if not self._tall:
            return self._vectors * self._lengths
        return torch.cat([rows.double() @ self._vectors for rows in self._features.split(BLOCK)])

    def onto(self, weight: Float64[Tensor, "C D"]) -> Float64[Tensor, "C K"]:
        """Weights of features as weights of coordinates; what lies outside the span is lost."""
        if self._tall:
            return weight @ self._vectors
        products = torch.cat([weight @ rows.double().T for rows in self._features.split(BLOCK)], dim=1)
        return products @ self._vectors / self._lengths

    def back(self, weight: Float64[Tensor, "C K"]) -> Float64[Tensor, "C D"]:
        """Weights of coordinates as weights of features."""
        if self._tall:
            return weight @ self._vectors.T
        of_images = (weight / self._lengths) @ self._vectors.T  # (C, N)
        return torch.cat([of_images @ columns.double() for columns in self._features.split(BLOCK, dim=1)], dim=1)


def _products(features: Float[Tensor, "N D"]) -> Float64[Tensor, "D D"]:
    """The products of all pairs of columns, summed over the rows."""
    total = features.new_zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    for rows in features.split(BLOCK):
        wide = rows.double()
        total.addmm_(wide.T, wide)
    return total


def _ending_in_one(features: Float[Tensor, "N D"]) -> Float64[Tensor, "N D1"]:
    return functional.pad(features.double(), (0, 1), value=1.0)
