"""Why a sweep hands out nothing more, and how a full disk closes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.folder import DISK_FULL


class Closing:
    """What of a sweep can be closed before it is complete.

    Attributes:
        closing: why nothing more is handed out, or None.
        disk_full: whether nothing more is written either.
    """

    def __init__(self) -> None:
        self.closing: str | None = None
        self.disk_full = False

    def close(self, reason: str) -> None:
        """Hands out nothing more; of several reasons the first is told, unless the disk is full."""
        self.closing = self.closing or reason

    def close_full(self, error: str) -> None:
        """Closes a sweep whose disk is full: no trial fails of it, each goes on from what is on disk."""
        self.disk_full = True
        # Told before any other reason, since this one asks for something to be done.
        self.closing = f"the disk is full ({error}); free some of it, and the same command goes on"

    @contextmanager
    def closed_when_full(self) -> Iterator[None]:
        """Closes the sweep where the block meets a full disk."""
        try:
            yield
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self.close_full(str(error))
