"""Work that knows one image at a time on all cores: a process for each, as a DataLoader gives it."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch


class Processes:
    """Processes that wait until they are asked how fast they are.

    Nothing that they make is sent back, which would cost a DataLoader time.

    Args:
        work: to be repeated; it returns how much it has done.
        count: of processes, of one thread each.
    """

    def __init__(self, work: Callable[[], int], count: int) -> None:
        fork = multiprocessing.get_context("fork")  # as a DataLoader on Linux
        self._pipes = []
        for place in range(count):
            here, there = fork.Pipe()
            fork.Process(target=_serve, args=(work, there, place), daemon=True).start()
            self._pipes.append(here)

    def rate(self, seconds: float) -> float:
        """How much all of them together do in a second, measured for about so long."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self._pipes)


def rate(work: Callable[[], int], seconds: float) -> float:
    """How much work is done in a second, measured for about so long."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def _serve(work: Callable[[], int], pipe: Connection, place: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(place)
    while True:
        pipe.send(rate(work, pipe.recv()))
