"""Work that a GPU repeats from a graph of its kernels: one launch in the place of hundreds."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch

Made = TypeVar("Made")

# Done this often in the ordinary way first: libraries choose their kernels then, and optimisers make their state.
WARM_UP = 3

logger = logging.getLogger(__name__)


class Replayed(Generic[Made]):
    """Work on a GPU, from a graph as soon as there is one. Where it cannot be captured it goes on in the ordinary way.

    It must read and write tensors of fixed place alone. What it decides on the host, its key has to tell: for another
    key another graph is made.

    Args:
        work: takes nothing; gives tensors, whose place stays, so that a later call overwrites them.
        key: of the work to come.
    """

    def __init__(self, work: Callable[[], Made], key: Callable[[], Hashable]) -> None:
        self._work, self._key = work, key
        self._stream = torch.cuda.Stream()  # of warm-up and capture: gradients are accumulated where they were first
        self._done: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, tuple[Callable[[], None], Made]] = {}  # what replays each, and what it makes
        self._refused = False

    def __call__(self) -> Made:
        """The work, done once more."""
        key = self._key()
        if self._refused:
            return self._work()
        if key not in self._graphs:
            if self._done[key] < WARM_UP:
                self._done[key] += 1
                return self._beside()
            try:
                self._graphs[key] = self._captured()
            except RuntimeError as error:
                self._refused = True
                logger.warning("trains without CUDA graphs: %s", str(error).partition("\n")[0])
                return self._work()
        replay, made = self._graphs[key]
        replay()
        return made

    def _beside(self) -> Made:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            made = self._work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return made

    def _captured(self) -> tuple[Callable[[], None], Made]:
        """Captures the work, of which nothing is done yet."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            made = self._work()
        return graph.replay, made
