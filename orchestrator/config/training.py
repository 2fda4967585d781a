"""Training length and arithmetic of a run."""

from typing import Literal

from pydantic import Field

from augment.config import Config


class TrainingConfig(Config):
    """Training length and arithmetic.

    Args:
        epochs: passes over the training images; the budget of all schedules, even if a trial is stopped early.
        batch_size: images per optimizer step; the last, incomplete batch of an epoch is dropped.
        precision: `bf16` mixed precision, `fp32`, or `auto`: bf16 if the hardware supports it natively.
        compile: whether to fuse the augmentation's kernels: `always`, `never`, or `auto`: on a GPU, for long trainings.
        threads: CPU threads per worker; part of the settings because the last bits of sums depend on it.
        checkpoint_steps: steps between checkpoints within an epoch; one is always written at the end of an epoch.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(256, ge=2)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "never", "always"] = "auto"
    threads: int = Field(1, ge=1)
    checkpoint_steps: int | None = Field(None, ge=1)
