"""Five methods written with lightly's losses and helpers, after its examples; imports nothing from this repository.

Each takes the networks to train, so that two implementations can start from the same weights, and is called with two
views, the current step and the number of steps.
"""

from copy import deepcopy

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models.modules import SwaVPrototypes
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn
from torch.nn import functional as F


class SimCLR(nn.Module):
    def __init__(self, encoder: nn.Module, projector: nn.Module, *, temperature: float):
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.criterion = NTXentLoss(temperature=temperature)

    def forward(self, first: Tensor, second: Tensor, step: int, steps: int) -> Tensor:
        return self.criterion(self.projector(self.encoder(first)), self.projector(self.encoder(second)))


class MoCo(nn.Module):
    """One direction: the first view is the query."""

    def __init__(self, encoder: nn.Module, projector: nn.Module, *, queue: Tensor, temperature: float, momentum: float):
        super().__init__()
        self.encoder, self.projector, self.momentum = encoder, projector, momentum
        self.slow = deepcopy(nn.Sequential(encoder, projector))
        deactivate_requires_grad(self.slow)
        self.criterion = NTXentLoss(temperature=temperature, memory_bank_size=tuple(queue.shape))
        self.criterion.memory_bank.bank = queue.clone()  # otherwise lightly fills it from torch's global generator
        self.criterion.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)

    def forward(self, first: Tensor, second: Tensor, step: int, steps: int) -> Tensor:
        update_momentum(nn.Sequential(self.encoder, self.projector), self.slow, m=self.momentum)
        with torch.no_grad():
            key = self.slow(second)
        return self.criterion(self.projector(self.encoder(first)), key)


class BYOL(nn.Module):
    def __init__(self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, *, momentum: float):
        super().__init__()
        self.encoder, self.projector, self.predictor, self.momentum = encoder, projector, predictor, momentum
        self.slow = deepcopy(nn.Sequential(encoder, projector))
        deactivate_requires_grad(self.slow)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor, step: int, steps: int) -> Tensor:
        # The momentum lags one step behind lightly's examples, as in MSR's code, which ours follows. Both end at 1.
        momentum = cosine_schedule(step + 1, steps + 1, self.momentum, 1)
        update_momentum(nn.Sequential(self.encoder, self.projector), self.slow, m=momentum)
        online = [self.predictor(self.projector(self.encoder(view))) for view in (first, second)]
        with torch.no_grad():
            keys = [self.slow(view) for view in (second, first)]
        # lightly's examples halve the sum of both directions; the paper's loss is 2 - 2 cos for each.
        return sum(2 + 2 * self.criterion(query, key) for query, key in zip(online, keys, strict=True))


class SimSiam(nn.Module):
    def __init__(self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module):
        super().__init__()
        self.encoder, self.projector, self.predictor = encoder, projector, predictor
        self.criterion = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor, step: int, steps: int) -> Tensor:
        projections = [self.projector(self.encoder(view)) for view in (first, second)]
        one, other = (self.predictor(projection) for projection in projections)
        return 0.5 * (self.criterion(one, projections[1].detach()) + self.criterion(other, projections[0].detach()))


class SwAV(nn.Module):
    def __init__(
        self, encoder: nn.Module, projector: nn.Module, prototypes: Tensor, *, temperature: float, epsilon: float
    ):
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.prototypes = SwaVPrototypes(prototypes.shape[1], len(prototypes))
        self.prototypes.heads[0] = nn.Linear(prototypes.shape[1], len(prototypes), bias=False, dtype=prototypes.dtype)
        self.prototypes.heads[0].weight.data.copy_(prototypes)
        self.criterion = SwaVLoss(temperature=temperature, sinkhorn_epsilon=epsilon)

    def forward(self, first: Tensor, second: Tensor, step: int, steps: int) -> Tensor:
        self.prototypes.normalize()
        views = [F.normalize(self.projector(self.encoder(view)), dim=1) for view in (first, second)]
        return self.criterion([self.prototypes(view) for view in views], []).squeeze()
