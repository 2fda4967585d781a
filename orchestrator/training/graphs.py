"""Work that a GPU replays from a CUDA graph: one launch instead of hundreds."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch

Made = TypeVar("Made")

# Eager runs before the capture, in which libraries choose their kernels and optimizers create their state.
WARM_UP = 3

logger = logging.getLogger(__name__)


class Capturing:
    """Shared by pieces of work that run one after the other.

    Attributes:
        stream: of their warm-up and capture: gradients are accumulated where they were first, and libraries keep memory
            for each stream that they work on.
        possible: until one of them cannot be captured. What comes after it would read from a graph where it has written
            once, and writes no more.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()
        self.possible = True

    def refuse(self, error: BaseException) -> None:
        """Continue without graphs, and log the reason once."""
        while error.__context__ is not None:  # the end of a capture that has failed is an error of its own
            error = error.__context__
        self.possible = False
        logger.warning("trains without CUDA graphs: %s", str(error).partition("\n")[0])


class Replayed(Generic[Made]):
    """Work on a GPU, replayed from a graph once it is captured; if it cannot be captured it stays eager.

    It must read and write only tensors whose memory stays in place. Its key must cover every decision it makes on the
    host: each key has a graph of its own.

    Args:
        work: takes nothing; gives tensors, whose place stays, so that a later call overwrites them.
        key: of the work to come.
        capturing: shared with the works whose tensors it reads.
    """

    def __init__(self, work: Callable[[], Made], key: Callable[[], Hashable], capturing: Capturing) -> None:
        self._work, self._key, self._capturing = work, key, capturing
        self._done: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, tuple[Callable[[], None], Made]] = {}  # what replays each, and what it makes

    def __call__(self) -> Made:
        """Run the work once."""
        key = self._key()
        if not self._capturing.possible:
            self._graphs.clear()
            return self._work()
        if key not in self._graphs:
            if self._done[key] < WARM_UP:
                self._done[key] += 1
                return self._beside()
            try:
                self._graphs[key] = self._captured()
            except RuntimeError as error:
                self._capturing.refuse(error)
                return self._work()
        replay, made = self._graphs[key]
        replay()
        return made

    def _beside(self) -> Made:
        stream = self._capturing.stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            made = self._work()
        torch.cuda.current_stream().wait_stream(stream)
        return made

    def _captured(self) -> tuple[Callable[[], None], Made]:
        """Captures the work, of which nothing is done yet."""
        graph = torch.cuda.CUDAGraph()
        # The outer block brings the stream back: torch 2.11's stays on the inner one if the capture fails.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, stream=self._capturing.stream),
        ):
            made = self._work()
        return graph.replay, made
