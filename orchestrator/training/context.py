"""What a training is told and given: its settings, its surroundings, and the way it may fail."""

from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from augment.config import Config

# One epoch's numbers, by metric.
Report = dict[str, float | int]


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


@runtime_checkable
class Context(Protocol):
    """The surroundings of a training: where its numbers, checkpoints and encoder go. The loop knows no more of them."""

    def report(self, metrics: Report) -> None:
        """Take one epoch's numbers.

        `epoch` (from 1) and `finished` (0 or 1) are always there; only keys below `time/` differ between equal runs.
        After a resume the epochs before it are reported again.
        """
        ...

    def save_checkpoint(self, state: dict) -> None:
        """Keep a state that `load_checkpoint` may be asked for after a crash."""
        ...

    def load_checkpoint(self) -> dict | None:
        """The newest readable state, or None at the start."""
        ...

    def export(self, encoder_state: dict, card: dict) -> None:
        """Take the finished encoder's weights and the card that says what they are."""
        ...


class Diverged(Exception):
    """The numbers left the finite range; the message says where. The trial ends, the sweep goes on."""
