"""Multinomial logistic regression with a penalty on every parameter, quick enough to be solved for many penalties."""

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
# torch ends a fit when a change is *less* than the tolerance, so 0 would go on after the loss has stopped changing.
CHANGE_TOLERANCE = math.ulp(0.0)
ITERATIONS_OF_A_RUN = 50  # until the coordinates are renewed
LOSS_TOLERANCE = 1e-6  # share of the loss which a run must take off, or it is the last


@dataclass(frozen=True)
class Classifier:
    """A fitted one.

    Args:
        weight: of features that end in a constant 1, whose column is the bias.
        ended: what ended its fit: the `gradient` was within its tolerance; a fresh run hardly lowered the `loss`; or
            the number of `iterations` was used up.
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
    """Minimises the sum of the cross-entropies plus `penalty` times the sum of all squared parameters, bias included.

    The minimum is unique and what is found of it does not depend on the coordinates, so L-BFGS may work in those in
    which the problem looks alike in all directions. The penalty allows rotations of the features, to their principal
    axes, and of the classes; the rest is a scale for each parameter. Where there are fewer images than features, the
    features' span is all that is looked at: outside it the minimum is 0.

    Args:
        features: to fit on, as they are.
        labels: classes from 0, on the same device.
        num_classes: C, larger than every label.

    Raises:
        ValueError: if a feature is not finite.
    """

    def __init__(self, features: Float[Tensor, "N D"], labels: Int64[Tensor, "N"], num_classes: int) -> None:
        if not bool(features.isfinite().all()):
            raise ValueError("features must be finite, and some are not: the encoder is broken, or its images are")
        inputs = _ending_in_one(features)
        triangle = torch.linalg.qr(inputs, mode="r").R
        self._axes = torch.linalg.svd(triangle, full_matrices=False).Vh  # (K, D + 1), K = min(N, D + 1)
        self._inputs = inputs @ self._axes.T  # (N, K)
        self._labels, self._num_classes = labels, num_classes

    def start(self) -> Float64[Tensor, "C D1"]:
        """Where a first fit begins: at 0."""
        return self._axes.new_zeros(self._num_classes, self._axes.shape[1])

    def fit(self, penalty: float, start: Float64[Tensor, "C D1"]) -> Classifier:
        """The minimum, or a place where 50 more iterations take less than a millionth off the loss.

        Args:
            penalty: > 0.
            start: weights near it, such as those of a neighbouring penalty.
        """
        weight, lowest, iterations = start @ self._axes.T, math.inf, 0
        while iterations < MOST_ITERATIONS:
            weight, run = self._descend(weight, penalty)
            iterations += run.iterations
            if run.gradient <= GRADIENT_TOLERANCE:
                return Classifier(weight @ self._axes, "gradient")
            if run.loss > (1 - LOSS_TOLERANCE) * lowest:
                return Classifier(weight @ self._axes, "loss")
            lowest = run.loss
        return Classifier(weight @ self._axes, "iterations")

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
            value = errors + penalty * scaled.square().sum()
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
        """A rotation of the classes, and the step in each direction that moves the loss about as much as any other.

        The Hessian at `weight` is, image by image, the covariance of the classes times that of the features. The mean
        of the former is made diagonal by rotation; the scale is taken from the Hessian's own diagonal thereafter.
        """
        likely = torch.softmax(self._inputs @ weight.T, dim=1)  # (N, C)
        turn = torch.linalg.eigh(likely.sum(dim=0).diag() - likely.T @ likely).eigenvectors
        spread = likely @ turn.square() - (likely @ turn).square()  # (N, C), at least 0 but for rounding
        curvature = spread.clamp_min(0).T @ self._inputs.square() + 2 * penalty
        return turn, curvature.rsqrt()


def endings(classifiers: Iterable[Classifier]) -> str:
    """What ended their fits, counted, the most frequent first: `40 by loss, 6 by gradient`."""
    counted = Counter(classifier.ended for classifier in classifiers)
    return ", ".join(f"{count} by {ended}" for ended, count in counted.most_common())


def _ending_in_one(features: Float[Tensor, "N D"]) -> Float64[Tensor, "N D1"]:
    return functional.pad(features.double(), (0, 1), value=1.0)
