"""Closing a sweep before it is complete, also when its storage fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.records.folder import storage_trouble


class Closing:
    """A sweep that can be closed before it is complete.

    Attributes:
        closing: why no further trial is handed out, or None.
        out_of_storage: whether nothing more is written.
    """

    def __init__(self) -> None:
        self.closing: str | None = None
        self.out_of_storage = False

    def close(self, reason: str) -> None:
        """Hand out no further trial; of several reasons the first one is shown, unless the storage fails."""
        self.closing = self.closing or reason

    def close_without_storage(self, reason: str) -> None:
        """Close a sweep whose storage is full or unreachable: no trial fails, each resumes from its last checkpoint."""
        self.out_of_storage = True
        # Replaces any other reason, since the user has to act on this one.
        self.closing = reason

    @contextmanager
    def closed_without_storage(self) -> Iterator[None]:
        """Close the sweep if the storage fails inside the block."""
        try:
            yield
        except OSError as error:
            reason = storage_trouble(error)
            if reason is None:
                raise
            self.close_without_storage(reason)
