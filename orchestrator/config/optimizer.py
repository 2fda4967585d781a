"""How the weights of a run are optimised."""

from typing import Literal

from pydantic import Field

from augment.config import Config


class OptimizerConfig(Config):
    """How weights follow their gradients.

    Args:
        name: `sgd` (weight decay on everything, as MSR's small-image runs) or `lars` (large batches).
        lr: peak learning rate of a batch of 256 images; the rate in use is `lr * batch_size / 256`.
        momentum: of the running gradient, in [0, 1).
        weight_decay: L2 coefficient added to the gradient.
        warmup_epochs: epochs of linear warm-up, fractions allowed.
    """

    name: Literal["sgd", "lars"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
