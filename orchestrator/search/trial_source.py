"""What the ledger needs of a source of trials: the study during the search, then the repeats that confirm it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from orchestrator.search.trial_state import End, Values


@runtime_checkable
class Source(Protocol):
    """Provides the settings of trials, and receives their results."""

    def values(self, number: int) -> Values:
        """The settings of a trial by dotted path."""
        ...

    def report(self, number: int, value: float, epoch: int) -> None:
        """Receive the first metric's value of one epoch."""
        ...

    def should_stop(self, number: int) -> bool:
        """Whether to stop the trial after its newest value."""
        ...

    def tell(self, number: int, end: End, value: Sequence[float] | None) -> None:
        """Receive the trial's end and, if it finished, the value of each metric."""
        ...
