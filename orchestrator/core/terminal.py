"""Output streams that never end a command: a closed pipe, a full disk or a missing character costs only output.

Results are kept in files and in MLflow; what a command prints is a copy of them, so it must not stop the work.
"""

import codecs
import io
import os
import select
import sys
from typing import TextIO

# How characters that this project prints are written where the encoding lacks them; others become escapes.
_PLAIN = {"±": "+-", "…": "..."}
_ERRORS = "augsweep.plain"


def protect_output() -> None:
    """Replaces `sys.stdout` and `sys.stderr` by streams whose writes do not raise; called first by each command.

    - If nothing reads the output any more, or it cannot be stored, the rest of it is dropped.
    - Standard streams that were closed before the start (`>&-`) are opened on the null device, so that no other file
      is given their number.
    - Characters that the encoding lacks are spelled in ASCII.
    """
    codecs.register_error(_ERRORS, _plain)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, usually this one
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    sys.stdout, sys.stderr = _protected(sys.stdout, 1), _protected(sys.stderr, 2)


class _Output(io.FileIO):
    """An open file that drops what it cannot write, and waits where a non-blocking pipe is full."""

    def write(self, content: object) -> int:
        try:
            while (written := super().write(content)) is None:  # pyright: ignore[reportArgumentType]
                select.select([], [self.fileno()], [])
            return written
        except OSError:  # the reader is gone (EPIPE), the disk is full (ENOSPC), the terminal was closed (EIO)
            return len(memoryview(content).cast("B"))  # pyright: ignore[reportArgumentType]


def _protected(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None:
        stream.flush()
    raw = _Output(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=_ERRORS,
        line_buffering=number == 2 or raw.isatty() or getattr(stream, "write_through", False),
    )


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in missing), error.end
