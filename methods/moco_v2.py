"""MoCo v2: a view must find its key, made by a slow copy of the network, among the keys of past batches."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from augment.config import Config as BaseConfig
from augment.config import Probability
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan
from methods.parts.gather import gather
from methods.parts.heads import mlp
from methods.parts.memory_bank import MemoryBank
from methods.parts.momentum_encoder import MomentumEncoder


class Config(BaseConfig):
    """What MoCo v2 leaves open.

    Args:
        name: `moco_v2`.
        temperature: that similarities are divided by.
        momentum: of the momentum encoder, constant over the training.
        queue_size: number of past keys that serve as negatives; no more than the training images makes sense.
        symmetric: whether each view is a query and a key, at twice the cost; otherwise the first is compared with the
            second.
        projector_hidden: width of the projector's hidden layer.
        projector_outputs: dimensions in which views are compared.
    """

    name: str = "moco_v2"
    temperature: float = Field(0.2, gt=0, le=10)
    momentum: Probability = 0.999
    queue_size: int = Field(4096, ge=1, le=1 << 20)
    symmetric: bool = False
    projector_hidden: int = Field(512, ge=1, le=16384)
    projector_outputs: int = Field(128, ge=1, le=16384)


def plan(config: Config) -> Plan:
    """One direction or both, with full weight."""
    view = ViewSpec(recipe=("weak", "aggressive"))
    pairs = [Pair("first", "second", key_from="target"), Pair("second", "first", key_from="target")]
    pairs = pairs if config.symmetric else pairs[:1]
    return Plan(views={"first": view, "second": view}, pairs=pairs, contrastive=True, queued=True)


class Method(nn.Module):
    """The first view finds the second, and where symmetric also the other way round; directions are summed.

    The queue takes the keys of the views that pairs compare with, once the step is done: a query never meets its own
    key among the negatives. Keys that an add-on brings as matched negatives are stored where it says so, and those that
    it brings as predictions never.

    Source: arXiv 2003.04297, on arXiv 1911.05722. Temperature, momentum and one direction as published; the queue of
        4096 is that of the authors' demonstration on CIFAR-10, which is also symmetric (ImageNet and AugSelf's STL-10:
        65,536). The projector has batch-norm as in AugSelf's code (the paper's has none). That code fills the queue
        with queries of the online network; we store keys, as both papers do. The twin moves after the optimiser's step,
        where the official code moves it before the next forward: the same sequence. The official shuffling of images
        between GPUs hides which keys share batch statistics with a query; twin and online network have batches of their
        own here, and with one GPU there is nothing to shuffle.
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.temperature, self.momentum, self.symmetric = config.temperature, config.momentum, config.symmetric
        self.encoder: nn.Module = encoder
        self.projector = mlp([encoder.num_features, config.projector_hidden, config.projector_outputs])
        self.twin = MomentumEncoder(self.encoder, self.projector)
        self.queue = MemoryBank(config.queue_size, config.projector_outputs)

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and projections of one view; there is no predictor."""
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, projection)

    def encode_target(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and projections of the momentum encoder."""
        features, projection = self.twin(images)
        return Encoded(features, projection, projection)

    def key(self, encoded: Encoded, view: str) -> Float[Tensor, "B P"]:
        """The projection, detached."""
        return encoded.projection.detach()

    def pair_loss(self, query: Encoded, key: Float[Tensor, "B P"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """InfoNCE among the queue and, for each query its own, the matched negatives."""
        return info_nce(query.projection, key, self.queue.rows, temperature=self.temperature, matched=negatives)

    def after_step(self, progress: Float[Tensor, ""], keys: Mapping[str, Float[Tensor, "B P"]]) -> None:
        """Update the momentum encoder, and enqueue the step's keys of all ranks."""
        self.twin.update(torch.full_like(progress, 1 - self.momentum))
        self.queue.enqueue(normalize(torch.cat([gather(key) for key in keys.values()]), dim=1))

    def parameter_groups(self) -> list[dict]:
        """One group of all trained weights; the momentum encoder's are not trained."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]


def info_nce(
    query: Float[Tensor, "B P"],
    key: Float[Tensor, "B P"],
    queue: Float[Tensor, "K P"],
    *,
    temperature: float,
    matched: Sequence[Tensor] = (),
) -> Float[Tensor, ""]:
    """Each query must pick its own key out of that key and the queue.

    Args:
        query: projections, of any length.
        key: projections, of any length; row i belongs to query i and is shown to no other.
        queue: unit vectors, the same negatives for every query.
        temperature: that cosine similarities are divided by, > 0.
        matched: further negatives, each (B, P): row i is shown to query i only.

    Returns:
        The mean over queries.

    Source: arXiv 1911.05722, equation 1.
    """
    query = normalize(query, dim=1)
    rowwise = [(query * normalize(other, dim=1)).sum(1, keepdim=True) for other in (key, *matched)]  # each (B, 1)
    logits = torch.cat([*rowwise, query @ queue.T], dim=1) / temperature  # (B, 1 + M + K), the key's first
    return -logits.log_softmax(dim=1)[:, 0].mean()
