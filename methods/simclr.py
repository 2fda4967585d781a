"""SimCLR: a view must find its other view among all other projections of the batch."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from augment.config import Config as BaseConfig
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan
from methods.parts.gather import gather, rank
from methods.parts.heads import mlp


class Config(BaseConfig):
    """What SimCLR leaves open.

    Args:
        name: `simclr`.
        temperature: that similarities are divided by.
        projector_hidden: width of the projector's hidden layer.
        projector_outputs: dimensions in which views are compared.
    """

    name: str = "simclr"
    temperature: float = Field(0.2, gt=0, le=10)
    projector_hidden: int = Field(512, ge=1, le=16384)
    projector_outputs: int = Field(128, ge=1, le=16384)


def plan(config: Config) -> Plan:
    """Both directions with half the weight each."""
    view = ViewSpec(recipe=("weak", "aggressive"))
    pairs = (Pair("first", "second", weight=0.5), Pair("second", "first", weight=0.5))
    return Plan(views={"first": view, "second": view}, pairs=pairs, contrastive=True)


class Method(nn.Module):
    """Two views, each the query once; keys keep their gradient, and the mean of both directions is the paper's loss.

    Source: arXiv 2002.05709, section 2.1. Projector and temperature as in AugSelf's code (paper: 0.1 for ImageNet, 0.5
        for CIFAR-10). Batch-norm statistics are per view, where the official code has them over both.
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.encoder: nn.Module = encoder
        self.projector = mlp([encoder.num_features, config.projector_hidden, config.projector_outputs])

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and projections of one view; there is no predictor."""
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, projection)

    def key(self, encoded: Encoded, view: str) -> Float[Tensor, "B P"]:
        """The projection, with its gradient."""
        return encoded.projection

    def pair_loss(self, query: Encoded, key: Float[Tensor, "B P"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """One direction of NT-Xent."""
        return nt_xent(query.projection, key, temperature=self.temperature, matched=negatives)

    def after_step(self, progress: Tensor, keys: Mapping[str, Tensor]) -> None:
        """Nothing: SimCLR has no state outside its weights."""

    def parameter_groups(self) -> list[dict]:
        """One group of all weights."""
        return [{"params": list(self.parameters())}]


def nt_xent(
    query: Float[Tensor, "B P"], key: Float[Tensor, "B P"], *, temperature: float, matched: Sequence[Tensor] = ()
) -> Float[Tensor, ""]:
    """One direction of NT-Xent: each query must pick its own key out of the 2N - 1 other projections of all ranks.

    Args:
        query: this rank's projections, of any length.
        key: projections; row i belongs to query i.
        temperature: that cosine similarities are divided by, > 0.
        matched: further negatives, each (B, P): row i is shown to query i only.

    Returns:
        The mean over this rank's queries. The mean of both directions, over the ranks too, is the paper's loss.

    Raises:
        ValueError: if the temperature is not positive.

    Source: arXiv 2002.05709, equation 1 and algorithm 1.
    """
    if not temperature > 0:
        raise ValueError(f"temperature > 0 must hold, got temperature={temperature}")
    query, key = normalize(query, dim=1), normalize(key, dim=1)
    queries, keys = gather(query), gather(key)  # (N, P), of all ranks
    places = rank() * len(query) + torch.arange(len(query), device=query.device)
    own = places[:, None] == torch.arange(len(queries), device=query.device)
    logits = [query @ keys.T, (query @ queries.T).masked_fill(own, -torch.inf)]  # 2 x (B, N)
    logits += [(query * normalize(negative, dim=1)).sum(1, keepdim=True) for negative in matched]  # each (B, 1)
    return cross_entropy(torch.cat(logits, dim=1) / temperature, places)
