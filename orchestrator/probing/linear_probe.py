"""The linear classifier of `linear_val/2`: logistic regression on standardised features."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from orchestrator.probing.logistic import LogisticRegression

# Constants of every protocol that fits a probe: changing one requires a new version of each.
L2 = 1e-3  # penalty of the weights, added to the mean cross-entropy; scikit-learn's C is 1 / (n * L2)
SMALLEST_STD = 1e-6  # a feature that hardly varies is centred and not scaled up


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
        """Logits of each class."""
        return functional.linear((features - self.mean) / self.std, self.weight, self.bias)

    def predict(self, features: Float[Tensor, "N D"]) -> Int64[Tensor, "N"]:
        """The likeliest class of each image."""
        return self.logits(features).argmax(dim=1)

    def accuracy(self, features: Float[Tensor, "N D"], labels: Int64[Tensor, "N"]) -> float:
        """Share of images classified correctly, in [0, 1]."""
        return float((self.predict(features) == labels.to(features.device)).double().mean())


def fit_linear(features: Float[Tensor, "N D"], labels: Int64[Tensor, "N"], *, l2: float = L2) -> LinearProbe:
    """Multinomial logistic regression on standardised features: no seed, no learning rate, no early stop.

    Minimises mean cross-entropy + l2/2 * |weight|^2 without a penalty on the biases, in float64, to within a millionth
    of the minimum (`LogisticRegression`). The minimum is unique, so the result does not depend on the solver.

    Args:
        features: of any scale.
        labels: classes from 0, on any device.
        l2: > 0.

    Raises:
        ValueError: if a feature is not finite.

    Source: this project's own choice; an SGD probe of fixed rate scores badly scaled features far below what they know.
    """
    mean, std = features.mean(dim=0), features.std(dim=0, correction=0).clamp_min(SMALLEST_STD)
    labels = labels.to(features.device)
    problem = LogisticRegression((features - mean) / std, labels, int(labels.max()) + 1, free_bias=True)
    weight = problem.fit(l2 / 2 * len(features), problem.start()).weight.to(features.dtype)
    return LinearProbe(mean, std, weight[:, :-1], weight[:, -1])
