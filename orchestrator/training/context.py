"""The interface of a training to its environment: where its reports, checkpoints and encoder go."""

from typing import Protocol, runtime_checkable

# One epoch's numbers, by metric.
Report = dict[str, float | int]


@runtime_checkable
class Context(Protocol):
    """Where the reports, checkpoints and encoder of a training go: all that the loop knows of its environment."""

    def report(self, metrics: Report) -> None:
        """Take one epoch's numbers.

        `epoch` (from 1) and `finished` (0 or 1) are always there; only keys below `time/` differ between equal runs.
        After a resume the epochs before it are reported again.
        """
        ...

    def save_checkpoint(self, state: dict) -> None:
        """Store a state that `load_checkpoint` returns after a crash."""
        ...

    def load_checkpoint(self) -> dict | None:
        """The newest readable state, or None at the start."""
        ...

    def export(self, encoder_state: dict, card: dict) -> None:
        """Store the finished encoder's weights and the card that describes them."""
        ...


class Diverged(Exception):
    """A loss or a metric is not finite; the message says where. The trial ends, the sweep continues."""
