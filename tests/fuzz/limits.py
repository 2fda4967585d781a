"""What holds for every input: an answer in time, and a mistake of the user's in one line."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.core.errors import UserError


class Hang(Exception):
    """An input took too long."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises `Hang` after some time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def require_one_line(error: UserError) -> None:
    """An error names what is wrong in one line that can be printed."""
    text = str(error)
    assert text, "an error without a word"
    assert text.isprintable(), f"an error of several lines or with control characters: {text!r}"
