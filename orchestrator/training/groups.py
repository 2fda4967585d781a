"""What the loop does to an optimizer's parameter groups: learning rates, frozen groups, restored state.

The learning rate of every step is a linear warm-up, then half a cosine.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from orchestrator.config.run import OptimizerSettings

# The batch size that `lr` in a file is stated for.
REFERENCE_BATCH = 256


def prepared(groups: Iterable[dict], lr: float) -> list[dict]:
    """A method's parameter groups as optimizers take them.

    Args:
        groups: dicts with `params`; a group with `lr_schedule: constant` keeps the peak rate, and one with `frozen`
            is not trained for that share of the budget.
        lr: peak learning rate.
    """
    named = [{"lr_schedule": "cosine", **group} for group in groups]
    device = named[0]["params"][0].device
    if device.type == "cuda":  # the rate is on the device, where a captured step reads it
        named = [{**group, "lr": torch.tensor(lr, device=device)} for group in named]
    return named


def load(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restore the state of an optimizer with equal settings; learning rate and kernels stay those of this device."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    # torch places the state as the saved groups say, which may be another device's.
    saved = [{**group, **own} for group, own in zip(state["param_groups"], settings, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": saved})
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)  # torch copies the learning rate, and a captured step reads it in its old place


def peak_rate(config: OptimizerSettings, batch_size: int) -> float:
    """The learning rate after warm-up, exactly linear in the batch size.

    Source: MSR's code (arXiv 2206.01999) divides integers, so a batch under 256 trains with rate 0; here 64 gives a
        quarter of `lr`.
    """
    return config.lr * batch_size / REFERENCE_BATCH


def rate_factor(step: int, *, steps: int, warmup_steps: int) -> float:
    """The share of the peak rate used by one step: linear up to 1, then half a cosine towards 0.

    Args:
        step: 1 for the first.
        steps: of the whole training, warm-up included.
        warmup_steps: < steps.

    Returns:
        In (0, 1]: neither the first nor the last step has rate 0.

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
    """Set every group's learning rate for the next step; a rate on the device is written in place."""
    for group in optimizer.param_groups:
        rate = peak if group["lr_schedule"] == "constant" else peak * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def frozen(optimizer: Optimizer, progress: float) -> tuple[bool, ...]:
    """Which groups are still frozen.

    Args:
        optimizer: over `prepared` groups.
        progress: share of the budget done after the next step, in (0, 1].
    """
    return tuple(progress <= group.get("frozen", 0.0) for group in optimizer.param_groups)


def hold_frozen(optimizer: Optimizer, progress: float) -> None:
    """Drop the gradients of frozen groups, between the backward pass and the step.

    An optimizer skips a parameter without gradient: no step, no decay and no momentum.

    Args:
        optimizer: over `prepared` groups.
        progress: share of the budget done after the next step, in (0, 1].
    """
    for group, held in zip(optimizer.param_groups, frozen(optimizer, progress), strict=True):
        for parameter in group["params"] if held else ():
            parameter.grad = None
