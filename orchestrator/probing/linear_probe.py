"""A linear classifier on frozen features, fitted by L-BFGS."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from orchestrator.core.torch_compat import without_compiler

# Constants of every protocol that fits a probe: another value is another protocol, with another version.
L2 = 1e-3  # of the weights, beside the mean cross-entropy; scikit-learn's C is 1 / (n * L2)
MOST_ITERATIONS = 200
GRADIENT_TOLERANCE = 1e-5  # largest entry of the gradient at which the fit counts as done
SMALLEST_STD = 1e-6  # a feature that hardly varies is centred, not blown up


@dataclass(frozen=True)
class LinearProbe:
    """A fitted classifier: standardise, multiply, add.

    Args:
        mean: of the features it was fitted on.
        std: of the same.
        weight: of the standardised features.
        bias: of each class.
    """

    mean: Float[Tensor, "D"]
    std: Float[Tensor, "D"]
    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, "C"]

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """How likely each class is of each image, before the softmax."""
        return functional.linear((features - self.mean) / self.std, self.weight, self.bias)

    def predict(self, features: Float[Tensor, "N D"]) -> Int64[Tensor, "N"]:
        """The likeliest class of each image."""
        return self.logits(features).argmax(dim=1)

    def accuracy(self, features: Float[Tensor, "N D"], labels: Int64[Tensor, "N"]) -> float:
        """Share of images whose likeliest class is their own, in [0, 1]."""
        return float((self.predict(features) == labels.to(features.device)).double().mean())


def fit_linear(features: Float[Tensor, "N D"], labels: Int64[Tensor, "N"], *, l2: float = L2) -> LinearProbe:
    """Multinomial logistic regression on standardised features, from zero, by L-BFGS: no seed, no learning rate.

    Minimises mean cross-entropy + l2/2 * |weight|^2; the bias is free. The problem is convex, so the answer does not
    depend on the way to it.

    Args:
        features: of any scale.
        labels: classes from 0, on any device.
        l2: > 0.

    Source: this project's own choice; an SGD probe of fixed rate scores badly scaled features far below what they know.
    """
    mean, std = features.mean(dim=0), features.std(dim=0, correction=0).clamp_min(SMALLEST_STD)
    inputs = (features - mean) / std
    num_classes, labels = int(labels.max()) + 1, labels.to(features.device)
    weight = inputs.new_zeros(num_classes, inputs.shape[1], requires_grad=True)
    bias = inputs.new_zeros(num_classes, requires_grad=True)
    solver = without_compiler(torch.optim.LBFGS)(
        [weight, bias],
        max_iter=MOST_ITERATIONS,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=0,  # stop on the gradient alone: a small change is not yet a minimum
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = functional.cross_entropy(functional.linear(inputs, weight, bias), labels)
        value = value + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)  # pyright: ignore[reportArgumentType] - torch types the closure as returning a float
    return LinearProbe(mean, std, weight.detach(), bias.detach())
