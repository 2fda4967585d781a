"""What surrounds a training: where its numbers, checkpoints and encoder go, and how it may fail."""

from typing import Protocol, runtime_checkable

# One epoch's numbers, by metric.
Report = dict[str, float | int]


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
