"""Adam with decoupled weight decay."""

from collections.abc import Sequence

from pydantic import Field
from torch.optim import AdamW

from augment.config import Config as BaseConfig
from orchestrator.core.torch_compat import without_compiler


class Config(BaseConfig):
    """Settings of AdamW.

    Args:
        name: `adamw`.
        lr: peak learning rate for a batch of 256 images; the rate in use is `lr * batch_size / 256`.
        beta1: decay of the running mean of gradients, in [0, 1).
        beta2: decay of the running mean of squared gradients, in [0, 1).
        weight_decay: share of every parameter, times the learning rate, taken off it at each step.
        warmup_epochs: epochs of linear warm-up, fractions allowed.

    Source: arXiv 1711.05101, algorithm 2. Learning rate and weight decay as in MoCo v3 (arXiv 2104.02057) for vision
        transformers, whose code also decays every parameter.
    """

    name: str = "adamw"
    lr: float = Field(1.5e-4, gt=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.1, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)


def build(config: Config, groups: Sequence[dict], lr: float) -> AdamW:
    """AdamW over parameter groups.

    Args:
        config: its settings.
        groups: from `orchestrator.training.groups.prepared`.
        lr: peak learning rate for the run's batch size.
    """
    on_gpu = groups[0]["params"][0].device.type == "cuda"
    # Fused kernels read the learning rate from the device; capturable keeps the step count there, for CUDA graphs.
    kernels = {"fused": True, "capturable": True} if on_gpu else {"foreach": True}
    kind = without_compiler(AdamW)
    return kind(groups, lr=lr, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, **kernels)
