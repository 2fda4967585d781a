"""Runs single-image work on all cores: one process per core, as a DataLoader does."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch


class Processes:
    """Processes that measure their throughput on request.

    Results are not sent back: the transfer would cost time, as it does in a DataLoader.

    Args:
        work: Function to repeat; it returns the amount of work it has done.
        count: Number of processes, with one thread each.
    """

    def __init__(self, work: Callable[[], int], count: int) -> None:
        fork = multiprocessing.get_context("fork")  # as a DataLoader on Linux
        self._pipes = []
        for place in range(count):
            here, there = fork.Pipe()
            fork.Process(target=_serve, args=(work, there, place), daemon=True).start()
            self._pipes.append(here)

    def rate(self, seconds: float) -> float:
        """Total work per second of all processes, measured for about `seconds`."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self._pipes)


def rate(work: Callable[[], int], seconds: float) -> float:
    """Work per second, measured for about `seconds`."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def _serve(work: Callable[[], int], pipe: Connection, place: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(place)
    while True:
        pipe.send(rate(work, pipe.recv()))
