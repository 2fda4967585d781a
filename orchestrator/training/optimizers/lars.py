"""LARS: SGD whose step is, for every weight matrix, a fixed fraction of its norm; for large batches."""

# pyright: reportPrivateImportUsage=false
# torch has its fused operations on lists of tensors under names with an underscore.

from collections.abc import Callable, Iterable, Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from augment.config import Config as BaseConfig
from orchestrator.core.torch_compat import without_compiler


class Config(BaseConfig):
    """Settings of LARS.

    Args:
        name: `lars`.
        lr: peak learning rate for a batch of 256 images; the rate in use is `lr * batch_size / 256`.
        momentum: of the running update, in [0, 1).
        weight_decay: L2 coefficient added to the gradient of weight matrices and kernels.
        warmup_epochs: epochs of linear warm-up, fractions allowed.
    """

    name: str = "lars"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)


def build(config: Config, groups: Sequence[dict], lr: float) -> Optimizer:
    """LARS over parameter groups.

    Args:
        config: its settings.
        groups: from `orchestrator.training.groups.prepared`.
        lr: peak learning rate for the run's batch size.
    """
    return without_compiler(LARS)(groups, lr, momentum=config.momentum, weight_decay=config.weight_decay)


class LARS(Optimizer):
    """SGD with momentum whose step is, for every weight matrix or kernel, a fixed fraction of that weight's own norm.

    Parameters of at most one dimension (biases, batch-norm scales) get neither weight decay nor trust scaling.

    Args:
        params: parameters or parameter groups.
        lr: learning rate, > 0.
        momentum: of the running update, in [0, 1).
        weight_decay: added to the gradient before its norm is taken, >= 0.
        trust: the fraction, > 0.

    Source: arXiv 1708.03888, algorithm 1, in the form used by the self-supervised papers: the norm is that of gradient
    plus decay (the paper adds the two norms); the learning rate multiplies the momentum buffer (the paper's enters it).
    """

    def __init__(
        self, params: Iterable, lr: float, *, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 1e-3
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient; nothing is read back to the host.

        Raises:
            ValueError: if a closure is given; nothing here evaluates a loss twice.
        """
        if closure is not None:
            raise ValueError("LARS takes no closure; compute the loss before the step")
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            kernels = [param for param in params if param.ndim > 1]
            others = [param for param in params if param.ndim <= 1]
            if kernels:
                self._descend(kernels, _trusted(kernels, group["weight_decay"], group["trust"]), group)
            if others:
                self._descend(others, [param.grad for param in others if param.grad is not None], group)

    def _descend(self, params: list[Tensor], updates: list[Tensor], group: dict) -> None:
        for param in params:
            if "momentum_buffer" not in self.state[param]:
                self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        buffers = [self.state[param]["momentum_buffer"] for param in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, updates)
        torch._foreach_add_(params, torch._foreach_mul(buffers, -group["lr"]))


def _trusted(params: list[Tensor], weight_decay: float, trust: float) -> list[Tensor]:
    gradients = [param.grad for param in params if param.grad is not None]
    updates = list(torch._foreach_add(gradients, params, alpha=weight_decay))
    param_norms = torch.stack(torch._foreach_norm(params))
    update_norms = torch.stack(torch._foreach_norm(updates))
    # A weight or an update of zero has no direction to scale: it is taken as it is.
    known = (param_norms > 0) & (update_norms > 0)
    scales = torch.where(known, trust * param_norms / update_norms, torch.ones_like(param_norms))
    torch._foreach_mul_(updates, scales.unbind())
    return updates
