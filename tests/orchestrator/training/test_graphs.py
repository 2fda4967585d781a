"""Work is done in the ordinary way at first, then from a graph, and goes on without one where it cannot be captured."""

import logging
from contextlib import contextmanager

import pytest
import torch

from orchestrator.core import hardware
from orchestrator.training import assembly, graphs
from orchestrator.training.graphs import WARM_UP, Capturing, Replayed
from tests.orchestrator.tiny_run import tiny_run


class Graph:
    """Repeats, when it is replayed, what was done while it was captured."""

    def __init__(self) -> None:
        self.work = None

    def replay(self) -> None:
        self.work()


class Stream:
    def wait_stream(self, other: "Stream") -> None:
        pass


class Counting:
    """Counts how often it was done, on the device as it were, and how often its Python ran, and knows the stream."""

    def __init__(self) -> None:
        self.done, self.calls, self.refuses, self.capturing = 0, 0, False, False
        self.stream = Stream()

    def __call__(self) -> int:
        self.calls += 1
        if self.capturing and self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing\nand much more")
        if not self.capturing:
            self.done += 1
        return self.calls


@pytest.fixture
def work(monkeypatch):
    """Counting work, on a machine that has a GPU for all that `Replayed` can tell."""
    counting = Counting()

    @contextmanager
    def on(stream):
        before, counting.stream = counting.stream, stream
        try:
            yield
        finally:
            counting.stream = before

    @contextmanager
    def capture(graph, stream):
        counting.capturing, before, counting.stream = True, counting.stream, stream
        graph.work = lambda: setattr(counting, "done", counting.done + 1)
        try:
            yield
            counting.stream = before
        except RuntimeError as error:  # torch stays on the stream, and tells that the capture has failed
            raise RuntimeError("operation failed due to a previous error during capture") from error
        finally:
            counting.capturing = False

    fakes = {"Stream": Stream, "current_stream": lambda: counting.stream, "stream": on}
    for name, fake in (fakes | {"CUDAGraph": Graph, "graph": capture}).items():
        monkeypatch.setattr(graphs.torch.cuda, name, fake)
    return counting


def test_work_is_done_once_a_call_and_its_python_no_more_once_it_is_captured(work):
    replayed = Replayed(work, lambda: None, Capturing())
    given = [replayed() for _ in range(WARM_UP + 4)]
    assert work.done == WARM_UP + 4
    assert work.calls == WARM_UP + 1
    assert given == [*range(1, WARM_UP + 1), *[WARM_UP + 1] * 4]


def test_another_key_has_another_graph(work):
    keys = iter("aaaaaabbbbbba")
    replayed = Replayed(work, lambda: next(keys), Capturing())
    for _ in range(13):
        replayed()
    assert work.done == 13
    assert work.calls == 2 * (WARM_UP + 1)


def test_work_that_cannot_be_captured_goes_on_and_says_why_once(work, caplog):
    work.refuses, stream = True, work.stream
    replayed = Replayed(work, lambda: None, Capturing())
    with caplog.at_level(logging.WARNING):
        for _ in range(WARM_UP + 4):
            replayed()
    assert work.done == WARM_UP + 4
    (line,) = caplog.messages
    assert line == "trains without CUDA graphs: operation not permitted when stream is capturing"
    assert work.stream is stream


def test_what_shares_a_step_with_work_that_cannot_be_captured_is_replayed_no_more(work, caplog):
    capturing = Capturing()
    phases = [Replayed(work, lambda: None, capturing) for _ in range(3)]
    for step in range(WARM_UP + 3):
        for number, phase in enumerate(phases):
            work.refuses = number == 1
            phase()
        work_of_the_step = work.calls - 3 * step
        assert work_of_the_step == (3 if step < WARM_UP else 4), "the second was tried, and done in the ordinary way"
    assert work.done == 3 * (WARM_UP + 3)
    assert len(caplog.messages) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["simclr", "byol", "moco_v2", "swav"])
def test_a_gpus_graphs_train_as_its_steps_do(method, monkeypatch, caplog):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    run = tiny_run(method={"name": method}, addons={}, training={"precision": "fp32"}, evaluation={})
    data, cuda, losses = assembly.load_data(run), torch.device("cuda"), []
    for captures in (False, True):
        monkeypatch.setattr(hardware, "captures", lambda device, captures=captures: captures)
        training = assembly.training(run, data, cuda)
        rows = training.images.order(1).split(16)[:4]
        losses.append([float(training.train_step(rows[k % 4], 1).total.detach()) for k in range(8)])
    assert not caplog.messages
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
