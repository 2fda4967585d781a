"""Supervised training: one view must predict its image's label. The baseline of all methods without labels."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augment.config import Config as BaseConfig
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan


class Config(BaseConfig):
    """What supervised training must know.

    Args:
        name: `supervised`.
        num_classes: of the labels; a data set with another number is refused.
    """

    name: str = "supervised"
    num_classes: int = Field(10, ge=2, le=1 << 17)


def plan(config: Config) -> Plan:
    """One view, whose key is its label."""
    return Plan(
        views={"first": ViewSpec(recipe=("weak", "aggressive"))},
        pairs=(Pair("first", "first", key_from="labels"),),
    )


class Method(nn.Module):
    """One view, a linear classifier on the features, and cross-entropy.

    Source: arXiv 1512.03385, section 3.4, with the augmentation of the methods that it is compared with. (AugSelf's and
        MSR's code have no supervised training; AugSelf's paper has.)
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.encoder: nn.Module = encoder
        self.classifier = nn.Linear(encoder.num_features, config.num_classes)

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and, as projection and prediction, one logit for each class."""
        features = self.encoder(images)
        logits = self.classifier(features)
        return Encoded(features, logits, logits)

    def key(self, encoded: Encoded, view: str) -> Tensor:
        """Never asked for: labels are the data set's."""
        raise ValueError("supervised training has no keys but labels; use simclr to compare views")

    def pair_loss(self, query: Encoded, key: Int64[Tensor, "B"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """Cross-entropy of the labels."""
        if negatives:
            raise ValueError("negatives = 0 must hold for supervised, which compares no views; use simclr")
        return cross_entropy(query.prediction, key)

    def after_step(self, progress: Tensor, keys: Mapping[str, Tensor]) -> None:
        """Nothing: there is no state outside the weights."""

    def parameter_groups(self) -> list[dict]:
        """One group of all weights."""
        return [{"params": list(self.parameters())}]
