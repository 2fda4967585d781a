"""How long a run trains, and in what arithmetic."""

from typing import Literal

from pydantic import Field

from augment.config import Config


class TrainingConfig(Config):
    """How long and on what arithmetic to train.

    Args:
        epochs: passes over the training images; the schedules' whole budget, even if a trial is stopped early.
        batch_size: images per optimiser step; the last, incomplete batch of an epoch is left out.
        precision: `bf16` mixed precision, `fp32`, or `auto`: bf16 where the hardware computes it natively.
        compile: whether to fuse the augmentation's kernels: `always`, `never`, or `auto`: on a GPU, for long trainings.
        threads: of the CPU, per worker; a part of the settings because the last bits of a sum depend on it.
        checkpoint_steps: steps between checkpoints within an epoch; there is one at the end of every epoch anyway.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(256, ge=2)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "never", "always"] = "auto"
    threads: int = Field(1, ge=1)
    checkpoint_steps: int | None = Field(None, ge=1)
