"""SwAV: a view must tell to which prototypes its other view was assigned, when a batch is shared out evenly."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from augment.config import Config as BaseConfig
from augment.config import Probability
from augment.views import ViewSpec
from methods.contract import Encoded, Encoder, Pair, Plan
from methods.parts.gather import gather, part
from methods.parts.heads import mlp
from methods.parts.memory_bank import MemoryBank
from methods.parts.prototypes import Prototypes
from methods.parts.sinkhorn import sinkhorn

# The views of which codes are made.
_FULL = ("first", "second")


class Config(BaseConfig):
    """What SwAV leaves open.

    Args:
        name: `swav`.
        num_prototypes: that a batch is shared out among.
        temperature: that scores are divided by before a view's prediction is taken from them.
        epsilon: smoothness of the codes; the smaller, the closer each image is to a single prototype.
        sinkhorn_iterations: rounds of sharing out.
        freeze: share of the budget in which the prototypes are not trained.
        queue_size: projections of past batches that are assigned together with each view's batch, 0 for none; for
            batches that are not several times the number of prototypes.
        queue_start: share of the budget after which they are; before, features change too fast.
        small_views: further views, smaller ones, that predict the codes of both full-size views and have none of their
            own; they need a recipe `small`, with a crop.
        small_size: side of a small view in pixels.
        projector_hidden: width of the projector's hidden layer.
        projector_outputs: dimensions in which views meet prototypes.
    """

    name: str = "swav"
    num_prototypes: int = Field(100, ge=2, le=1 << 16)
    temperature: float = Field(0.1, gt=0, le=10)
    epsilon: float = Field(0.05, gt=0, le=10)
    sinkhorn_iterations: int = Field(3, ge=1, le=100)
    freeze: Probability = 0.005
    queue_size: int = Field(0, ge=0, le=1 << 20)
    queue_start: Probability = 0.075
    small_views: int = Field(0, ge=0, le=16)
    small_size: int = Field(16, ge=4, le=1024)
    projector_hidden: int = Field(2048, ge=1, le=16384)
    projector_outputs: int = Field(128, ge=1, le=16384)


def plan(config: Config) -> Plan:
    """Every view predicts the codes of the full-size views but its own."""
    views = {name: ViewSpec(recipe=("weak", "aggressive")) for name in _FULL}
    small = ViewSpec(recipe=("small", "aggressive"), size=config.small_size)
    views |= {f"small_{i + 1}": small for i in range(config.small_views)}
    weight = 1 / (len(_FULL) * (len(views) - 1))
    pairs = [Pair(query, key, weight, "codes") for query in views for key in _FULL if query != key]
    return Plan(views, pairs)


class Method(nn.Module):
    """Two full-size views with codes, each predicted by all other views; the mean over all of these predictions.

    Source: arXiv 2006.09882, sections 3.1 and 3.2. As in AugSelf's code 100 prototypes, frozen for one of 200 epochs,
        without queue and small views (the official code for ImageNet: 3000, 313 steps, six small views, and for batches
        of 256 a queue of 3840 from epoch 15 of 200). The mean over predictions is the official code's; AugSelf's code
        has the sum, so `methods.addons.augself` halves its weights over SwAV. Prototypes return to the unit sphere
        after each step; the official code does it before the next forward, the same sequence. Its queue begins to fill
        at its start and counts once it is full; ours is always filled, and rows count as soon as they are written.
        Batch-norm statistics are per view, where the official code has them over all views of one size.
    """

    def __init__(self, config: Config, encoder: Encoder) -> None:
        super().__init__()
        self.config = config
        self.encoder: nn.Module = encoder
        self.projector = mlp([encoder.num_features, config.projector_hidden, config.projector_outputs])
        self.prototypes = Prototypes(config.projector_outputs, config.num_prototypes)
        queued = _FULL if config.queue_size else ()
        self.queues = nn.ModuleDict({view: MemoryBank(config.queue_size, config.projector_outputs) for view in queued})
        self.progress: Tensor  # of the step to come, for the queue's start
        self.register_buffer("progress", torch.zeros(()))

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Encoded:
        """Features and projections of one view; the prediction is made of the projection, with each pair."""
        features = self.encoder(images)
        projection = self.projector(features)
        return Encoded(features, projection, projection)

    def key(self, encoded: Encoded, view: str) -> Float[Tensor, "B C"]:
        """The view's codes: how the batch of all ranks, and a queue that counts, is shared out among the prototypes."""
        batch = gather(normalize(encoded.projection.detach(), dim=1))
        rows, mass = batch, batch.new_ones(len(batch))
        if view in self.queues:
            queue = self._queue(view)
            counts = queue.written() & (self.progress >= self.config.queue_start)
            rows, mass = torch.cat([batch, queue.rows]), torch.cat([mass, counts.to(mass.dtype)])
        codes = sinkhorn(
            self.prototypes(rows), epsilon=self.config.epsilon, iterations=self.config.sinkhorn_iterations, mass=mass
        )
        return part(codes[: len(batch)])

    def pair_loss(self, query: Encoded, key: Float[Tensor, "B C"], negatives: Sequence[Tensor]) -> Float[Tensor, ""]:
        """Cross-entropy between the query's prediction and the codes."""
        if negatives:
            raise ValueError("negatives = 0 must hold for SwAV, which compares no pairs; use simclr for negatives")
        scores = self.prototypes(normalize(query.projection, dim=1))  # (B, C)
        return cross_entropy(scores / self.config.temperature, key)

    def after_step(self, progress: Float[Tensor, ""], keys: Mapping[str, Float[Tensor, "B P"]]) -> None:
        """Prototypes return to the sphere, and queues take the projections that the codes were made of."""
        self.prototypes.reset()
        self.progress.copy_(progress)
        for view in self.queues:
            self._queue(view).enqueue(gather(normalize(keys[view], dim=1)))

    def parameter_groups(self) -> list[dict]:
        """Two groups: the prototypes are frozen at first."""
        rest = [*self.encoder.parameters(), *self.projector.parameters()]
        return [{"params": rest}, {"params": list(self.prototypes.parameters()), "frozen": self.config.freeze}]

    def _queue(self, view: str) -> MemoryBank:
        queue = self.queues[view]
        assert isinstance(queue, MemoryBank)
        return queue
