"""BYOL: a view must predict what a slow copy of the network makes of the other view."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from augment.config import Config as BaseConfig
from augment.config import Probability
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan
from methods.parts.heads import mlp
from methods.parts.momentum_encoder import MomentumEncoder, cosine_rate


class Config(BaseConfig):
    """What BYOL leaves open.

    Args:
        name: `byol`.
        momentum: of the momentum encoder at the start; it rises to 1 along a half-cosine.
        hidden: width of the hidden layers of projector and predictor.
        outputs: dimensions in which views are compared.
    """

    name: str = "byol"
    momentum: Probability = 0.99
    hidden: int = Field(1024, ge=1, le=16384)
    outputs: int = Field(128, ge=1, le=16384)


def plan(config: Config) -> Plan:
    """Both directions with full weight."""
    view = ViewSpec(recipe=("weak", "aggressive"))
    pairs = (Pair("first", "second", key_from="target"), Pair("second", "first", key_from="target"))
    return Plan(views={"first": view, "second": view}, pairs=pairs)


class Method(nn.Module):
    """Two views, each predicted from the other; the two directions are summed.

    Source: arXiv 2006.07733, section 3. Sizes of the heads and the momentum as in MSR's code for ResNet-18 (BYOL's
        paper: 4096, 256 and 0.996 for ImageNet). Order: the paper moves the twin after the optimiser's step, MSR's code
        before the next forward; we follow the paper with the code's momentum, tau((k + 1) / K) after step k, which
        gives the code's sequence of twins, since its first move is a no-op.
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.momentum = config.momentum
        self.encoder: nn.Module = encoder
        self.projector = mlp([encoder.num_features, config.hidden, config.outputs])
        self.predictor = mlp([config.outputs, config.hidden, config.outputs])
        self.twin = MomentumEncoder(self.encoder, self.projector)

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features, projections and predictions of one view."""
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, self.predictor(projection))

    def encode_target(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and projections of the momentum encoder, which has no predictor."""
        features, projection = self.twin(images)
        return Encoded(features, projection, projection)

    def key(self, encoded: Encoded, view: str) -> Float[Tensor, "B P"]:
        """The projection, detached."""
        return encoded.projection.detach()

    def pair_loss(self, query: Encoded, key: Float[Tensor, "B P"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """The mean squared distance between prediction and key on the unit sphere."""
        if negatives:
            raise ValueError(
                "negatives = 0 must hold for BYOL, which compares positives only; use simclr for negatives"
            )
        return cosine_distance(query.prediction, key)

    def after_step(self, progress: Float[Tensor, ""], keys: Mapping[str, Tensor]) -> None:
        """Update the momentum encoder with the momentum of the next step."""
        self.twin.update(cosine_rate(progress, self.momentum))

    def parameter_groups(self) -> list[dict]:
        """One group of all trained weights; the momentum encoder's are not trained."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]


def cosine_distance(query: Float[Tensor, "B P"], key: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """The mean of 2 - 2 cos between rows, in [0, 4].

    Source: arXiv 2006.07733, equation 2: the squared distance of the l2-normalised vectors.
    """
    return (2 - 2 * cosine_similarity(query, key, dim=1)).mean()
