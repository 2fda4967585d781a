"""SGD and LARS, and the learning rate of every step: linear warm-up, then half a cosine."""

# pyright: reportPrivateImportUsage=false
# torch has its fused operations on lists of tensors under names with an underscore.

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from orchestrator.config.optimizer import OptimizerConfig
from orchestrator.core.torch_compat import without_compiler

# The batch that `OptimizerConfig.lr` is stated for.
REFERENCE_BATCH = 256


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


def build(config: OptimizerConfig, groups: Iterable[dict], batch_size: int) -> Optimizer:
    """The optimiser over a method's parameter groups.

    Args:
        config: its settings.
        groups: dicts with `params`; a group with `lr_schedule: constant` keeps the peak rate, and one with `frozen`
            stays as it is for that share of the budget.
        batch_size: images per optimiser step, over all workers.
    """
    peak = peak_rate(config, batch_size)
    named = [{"lr_schedule": "cosine", **group} for group in groups]
    device = named[0]["params"][0].device
    on_gpu = device.type == "cuda"
    if on_gpu:  # the rate lies beside the parameters, where a captured step finds each new one
        named = [{**group, "lr": torch.tensor(peak, device=device)} for group in named]
    if config.name == "lars":
        return without_compiler(LARS)(named, peak, momentum=config.momentum, weight_decay=config.weight_decay)
    # Fused kernels alone read a rate from the device.
    kernels = {"fused": True} if on_gpu else {"foreach": True}
    kind = without_compiler(SGD)
    return kind(named, lr=peak, momentum=config.momentum, weight_decay=config.weight_decay, **kernels)


def load(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """What an optimiser of the same settings remembered; rate and kernels stay those of the device that is here."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def peak_rate(config: OptimizerConfig, batch_size: int) -> float:
    """The learning rate after warm-up: linear in the batch, exactly.

    Source: arXiv 2206.01999's code divides in integers: a batch under 256 trains with rate 0. Here 64 gives a quarter.
    """
    return config.lr * batch_size / REFERENCE_BATCH


def rate_factor(step: int, *, steps: int, warmup_steps: int) -> float:
    """The share of the peak rate used by one step: linear up to 1, then half a cosine towards 0.

    Args:
        step: 1 for the first.
        steps: of the whole training, warm-up included.
        warmup_steps: < steps.

    Returns:
        In (0, 1]: neither the first nor the last step is thrown away on a rate of 0.

    Raises:
        ValueError: if `1 <= step <= steps` or `0 <= warmup_steps < steps` does not hold.
    """
    if not (1 <= step <= steps and 0 <= warmup_steps < steps):
        raise ValueError(
            "1 <= step <= steps and 0 <= warmup_steps < steps must hold, "
            f"got step={step}, steps={steps}, warmup_steps={warmup_steps}"
        )
    if step <= warmup_steps:
        return step / warmup_steps
    return (1 + math.cos(math.pi * (step - 1 - warmup_steps) / (steps - warmup_steps))) / 2


def set_rate(optimizer: Optimizer, peak: float, factor: float) -> None:
    """Give every group its learning rate for the step to come; one that lies on the device stays in its place."""
    for group in optimizer.param_groups:
        rate = peak if group["lr_schedule"] == "constant" else peak * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def frozen(optimizer: Optimizer, progress: float) -> tuple[bool, ...]:
    """Whether each group is still frozen.

    Args:
        optimizer: made by `build`.
        progress: share of the budget done after the step to come, in (0, 1].
    """
    return tuple(progress <= group.get("frozen", 0.0) for group in optimizer.param_groups)


def hold_frozen(optimizer: Optimizer, progress: float) -> None:
    """Take the gradients from groups that are still frozen, between the backward pass and the step.

    An optimiser passes over a weight without gradient: no step, no decay, no momentum that would act later.

    Args:
        optimizer: made by `build`.
        progress: share of the budget done after the step to come, in (0, 1].
    """
    for group, held in zip(optimizer.param_groups, frozen(optimizer, progress), strict=True):
        for parameter in group["params"] if held else ():
            parameter.grad = None
