"""Ridge regression in closed form, with the penalty chosen by leave-one-out cross-validation."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-6, 5))  # of the weights, per row


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Args:
        mean: of the inputs that it was fitted on.
        weight: of the inputs less their mean.
        bias: of each target.
        penalty: the chosen one, per row.
    """

    mean: Float[Tensor, "P"]
    weight: Float[Tensor, "P d"]
    bias: Float[Tensor, "d"]
    penalty: float

    def predict(self, inputs: Float[Tensor, "N P"]) -> Float[Tensor, "N d"]:
        """Predicted targets."""
        return (inputs.double() - self.mean) @ self.weight + self.bias


def fit_ridge(inputs: Float[Tensor, "N P"], targets: Float[Tensor, "N d"]) -> Ridge:
    """Least squares with a penalty on the weights, in float64; the caller scales the inputs.

    The penalty is the one of `PENALTIES` with the smallest leave-one-out error, which has a closed form that does not
    need N fits (Golub et al., "Generalized cross-validation", 1979, section 1: PRESS).
    """
    inputs, targets = inputs.double(), targets.double()
    mean, bias = inputs.mean(dim=0), targets.mean(dim=0)
    left, singular, right = torch.linalg.svd(inputs - mean, full_matrices=False)
    projected = left.mT @ (targets - bias)  # (R, d)

    def error_of_left_out(penalty: float) -> float:
        shrunk = singular.square() / (singular.square() + penalty * len(inputs))
        rest = targets - bias - left @ (shrunk[:, None] * projected)
        own = 1 / len(inputs) + left.square() @ shrunk  # how much a row's target moves its own prediction
        return float((rest / (1 - own)[:, None]).square().mean())

    penalty = min(PENALTIES, key=error_of_left_out)
    inverse = singular / (singular.square() + penalty * len(inputs))
    return Ridge(mean, right.mT @ (inverse[:, None] * projected), bias, penalty)


def determination(predicted: Float[Tensor, "N d"], targets: Float[Tensor, "N d"]) -> Float[Tensor, "d"]:
    """R2 of each target: 1 is exact, 0 is as good as predicting the mean."""
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    return 1 - (predicted - targets).square().sum(dim=0) / spread
