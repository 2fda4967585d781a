"""Stochastic gradient descent with momentum."""

from collections.abc import Sequence

from pydantic import Field
from torch.optim import SGD

from augment.config import Config as BaseConfig
from orchestrator.core.torch_compat import without_compiler


class Config(BaseConfig):
    """Settings of SGD.

    Args:
        name: `sgd`.
        lr: peak learning rate for a batch of 256 images; the rate in use is `lr * batch_size / 256`.
        momentum: of the running gradient, in [0, 1).
        weight_decay: L2 coefficient added to the gradient of every parameter.
        warmup_epochs: epochs of linear warm-up, fractions allowed.

    Source: weight decay on every parameter, as in MSR's runs on small images (arXiv 2206.01999).
    """

    name: str = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)


def build(config: Config, groups: Sequence[dict], lr: float) -> SGD:
    """SGD over parameter groups.

    Args:
        config: its settings.
        groups: from `orchestrator.training.groups.prepared`.
        lr: peak learning rate for the run's batch size.
    """
    # On a GPU only the fused kernels read the learning rate from the device.
    kernels = {"fused": True} if groups[0]["params"][0].device.type == "cuda" else {"foreach": True}
    kind = without_compiler(SGD)
    return kind(groups, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay, **kernels)
