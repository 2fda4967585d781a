"""Interrupting a sweep: Ctrl-C, SIGTERM and the time limit."""

import _thread
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from orchestrator.search.stopping import Closing


class Interruption:
    """Ends the execution early; the next start continues its unfinished trials.

    The first SIGINT or SIGTERM ends it cleanly, the second immediately; neither loses finished work.

    Args:
        ledger: closed when the execution ends.
        minutes: time limit from now, or None.
        notify: called with a sentence when it begins, from any thread.
    """

    def __init__(self, ledger: Closing, minutes: float | None, notify: Callable[[str], None]) -> None:
        self._ledger, self._notify = ledger, notify
        self._minutes = minutes
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self._before: dict[signal.Signals, Any] = {}  # what handled each signal until `install`
        self.signal: int | None = None
        self.out_of_time = False

    def install(self) -> None:
        """Handle SIGINT and SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self.receive)

    def uninstall(self) -> None:
        """Restore the handlers that `install` replaced."""
        while self._before:
            signal.signal(*self._before.popitem())

    def is_over(self) -> bool:
        """Whether to end the execution now."""
        if not self.out_of_time and self._deadline is not None and time.monotonic() > self._deadline:
            self.out_of_time = True
            self._ledger.close(f"its time limit of {self._minutes:g} min is over (sweep.time_limit)")
            self._notify("the time limit is over: stopping; the same command goes on")
        return self._ledger.closing is not None

    def receive(self, number: int, frame: object = None) -> None:
        """Handle a signal; print from another thread, since this one may be interrupted in the middle of a write."""
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        self._ledger.close(f"it was stopped by {signal.Signals(number).name}")
        # Not `threading`, which takes a lock that the interrupted code may hold.
        _thread.start_new_thread(self._notify, ("stopping; press Ctrl-C again to stop immediately",))
