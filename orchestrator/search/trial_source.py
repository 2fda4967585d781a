"""What the ledger needs of whoever proposes trials: the study while it searches, then the repeats that confirm it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from orchestrator.search.trial_state import End, Values


@runtime_checkable
class Source(Protocol):
    """Where a trial's settings come from, and who is told what became of it."""

    def values(self, number: int) -> Values:
        """The settings of a trial by dotted path, whenever they are asked for."""
        ...

    def report(self, number: int, value: float, epoch: int) -> None:
        """Takes the first metric's value of one epoch."""
        ...

    def should_stop(self, number: int) -> bool:
        """Whether the newest value is too bad to go on."""
        ...

    def tell(self, number: int, end: End, value: Sequence[float] | None) -> None:
        """Takes the trial's end, and where it has finished the value of each metric."""
        ...
