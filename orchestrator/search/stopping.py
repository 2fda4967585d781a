"""Why a sweep hands out nothing more, and how a storage that fails closes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.records.folder import storage_trouble


class Closing:
    """What of a sweep can be closed before it is complete.

    Attributes:
        closing: why nothing more is handed out, or None.
        out_of_storage: whether nothing more is written either.
    """

    def __init__(self) -> None:
        self.closing: str | None = None
        self.out_of_storage = False

    def close(self, reason: str) -> None:
        """Hands out nothing more; of several reasons the first is told, unless the storage fails."""
        self.closing = self.closing or reason

    def close_without_storage(self, reason: str) -> None:
        """Closes a sweep whose disk is full or out of reach: no trial fails of it, each goes on from what is there."""
        self.out_of_storage = True
        # Told before any other reason, since this one asks for something to be done.
        self.closing = reason

    @contextmanager
    def closed_without_storage(self) -> Iterator[None]:
        """Closes the sweep where the block meets a storage that takes or gives nothing more."""
        try:
            yield
        except OSError as error:
            reason = storage_trouble(error)
            if reason is None:
                raise
            self.close_without_storage(reason)
