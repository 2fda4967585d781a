"""SimSiam: a view must predict what the same network makes of the other view, and only the prediction learns."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from augment.config import Config as BaseConfig
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan
from methods.parts.heads import mlp


class Config(BaseConfig):
    """What SimSiam leaves open.

    Args:
        name: `simsiam`.
        projector_layers: of the projector, the last one's norm not counted: 2 for small images, 3 for ImageNet.
        outputs: width of the projector's layers, and dimensions in which views are compared.
        bottleneck: width of the predictor's hidden layer.
    """

    name: str = "simsiam"
    projector_layers: int = Field(2, ge=1, le=4)
    outputs: int = Field(2048, ge=1, le=16384)
    bottleneck: int = Field(512, ge=1, le=16384)


def plan(config: Config) -> Plan:
    """Both directions with half the weight each."""
    view = ViewSpec(recipe=("weak", "aggressive"))
    pairs = (Pair("first", "second", weight=0.5), Pair("second", "first", weight=0.5))
    return Plan(views={"first": view, "second": view}, pairs=pairs)


class Method(nn.Module):
    """Two views, each predicted from the other; the two directions are averaged.

    Keys are constants: without that the network collapses to one point. The predictor keeps the peak learning rate.

    Source: arXiv 2011.10566, sections 3 and 4 and appendix D (small images); heads, loss and rates as in the official
        code: norm without weights behind the projector, and no norm behind the predictor, whose last layer has no bias
        here. AugSelf's code has the same loss and rates but other heads: the projector's last norm has weights, and the
        predictor's last layer has a bias.
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.encoder: nn.Module = encoder
        self.projector = nn.Sequential(
            *mlp([encoder.num_features, *[config.outputs] * config.projector_layers]),
            nn.BatchNorm1d(config.outputs, affine=False),
        )
        self.predictor = mlp([config.outputs, config.bottleneck, config.outputs])

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features, projections and predictions of one view."""
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, self.predictor(projection))

    def key(self, encoded: Encoded, view: str) -> Float[Tensor, "B P"]:
        """The projection, detached."""
        return encoded.projection.detach()

    def pair_loss(self, query: Encoded, key: Float[Tensor, "B P"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """Minus the mean cosine between prediction and key, in [-1, 1]."""
        if negatives:
            raise ValueError(
                "negatives = 0 must hold for SimSiam, which compares positives only; use simclr for negatives"
            )
        return -cosine_similarity(query.prediction, key, dim=1).mean()

    def after_step(self, progress: Tensor, keys: Mapping[str, Tensor]) -> None:
        """Nothing: SimSiam has no state outside its weights."""

    def parameter_groups(self) -> list[dict]:
        """Two groups: the predictor's learning rate stays constant."""
        rest = [*self.encoder.parameters(), *self.projector.parameters()]
        return [{"params": rest}, {"params": list(self.predictor.parameters()), "lr_schedule": "constant"}]
