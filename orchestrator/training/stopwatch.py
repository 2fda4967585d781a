"""Where the time of an epoch goes, measured without making a GPU wait."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds by name of activity.

    On a GPU the host runs ahead of the work, so marks are put into the stream and read when the seconds are asked for.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: dict[str, float] = defaultdict(float)
        self._start = time.perf_counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the time of the block for `name`; blocks must not nest."""
        if self._on_gpu:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            yield
            end.record()
            self._marks.append((name, begin, end))
        else:
            begin_seconds = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - begin_seconds

    def lap(self) -> dict[str, float]:
        """Seconds since the last lap by name, and `total` by the clock on the wall; waits for the GPU."""
        if self._on_gpu:
            torch.cuda.synchronize()
        for name, begin, end in self._marks:
            self._seconds[name] += begin.elapsed_time(end) / 1000
        now = time.perf_counter()
        seconds = {**self._seconds, "total": now - self._start}
        self._marks.clear()
        self._seconds.clear()
        self._start = now
        return seconds
