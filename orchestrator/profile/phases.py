"""Phases of a training step in torch's profiler: marked by wrapping methods, then timed on host and device."""

# pyright: reportPrivateImportUsage=false
# torch.autograd does not list DeviceType among its names.

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from torch import Tensor
from torch.autograd import DeviceType
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent

from methods.objective import Objective
from orchestrator.training.loop import Training
from orchestrator.training.stopwatch import Stopwatch

# Phases that the training loop measures, and the parts of the last of them.
STAGES = ("loading", "augmentation", "training")
PARTS = ("forward", "backward", "optimizer", "after step")
PHASES = (*STAGES, *PARTS)

# Time between phases, and time without GPU work.
OTHER, IDLE = "other", "idle"

_CUDA_CALL = re.compile(r"cu(da)?[A-Z]")


@contextmanager
def marked(training: Training) -> Iterator[None]:
    """Mark the phases of every training in this process for the profiler, inside the block.

    Wraps methods instead of changing the loop, so that steps without a profiler cost nothing extra.
    """
    with ExitStack() as stack:
        stack.enter_context(_replaced(Stopwatch, "measure", _marked_stages))
        for owner, name, part in (
            (Objective, "forward", "forward"),
            (Tensor, "backward", "backward"),
            (type(training.optimizer), "step", "optimizer"),
            (Objective, "after_step", "after step"),
        ):
            stack.enter_context(_replaced(owner, name, _marked_as(part)))
        yield


def on_host(events: Sequence[FunctionEvent], whole: float) -> dict[str, float]:
    """Split `whole` seconds of host time by phase; the remainder is `other`."""
    spent = host_seconds(events)
    return spent | {OTHER: whole - sum(spent.values())}


def on_device(events: Sequence[FunctionEvent], whole: float, *, eager: Sequence[FunctionEvent]) -> dict[str, float]:
    """Split `whole` seconds of GPU time by the phase that launched the work; the remainder is `idle`.

    Args:
        events: profiler events of some steps.
        whole: seconds from their start until the GPU has finished.
        eager: events of a step without CUDA graphs, which shows the parts of training.
    """
    return split(device_seconds(events), device_seconds(eager)) | {IDLE: whole - busy_seconds(events)}


def host_seconds(events: Sequence[FunctionEvent]) -> dict[str, float]:
    """Host seconds of each phase, without those of phases nested in it."""
    seconds = defaultdict[str, float](float)
    times, phases = _timeline(events)
    for begin, end, phase in zip(times, times[1:], phases, strict=False):
        seconds[phase] += (end - begin) / 1e6
    seconds.pop(OTHER, None)
    return dict(seconds)


def device_seconds(events: Sequence[FunctionEvent]) -> dict[str, float]:
    """GPU seconds of the kernels that the host launched in each phase."""
    seconds = defaultdict[str, float](float)
    times, phases = _timeline(events)
    # A kernel carries the id of the CUDA call that launched it; all kernels of a graph carry the same. Operations are
    # not searched, because a graph is launched by none. Threads do not matter, because the thread that starts a
    # backward pass in another one waits for it.
    launches = {event.id: event.time_range.start for event in events if _is_launch(event)}
    for kernel in kernels(events):
        place = bisect_right(times, launches.get(kernel.id, float("-inf"))) - 1
        seconds[phases[place] if place >= 0 else OTHER] += kernel.time_range.elapsed_us() / 1e6
    return dict(seconds)


def kernels(events: Sequence[FunctionEvent]) -> list[FunctionEvent]:
    """GPU events, without the host's annotations that the profiler repeats on the GPU's timeline."""
    marks = {event.name for event in events if event.device_type == DeviceType.CPU and event.is_user_annotation}
    return [event for event in events if event.device_type != DeviceType.CPU and event.name not in marks]


def busy_seconds(events: Sequence[FunctionEvent]) -> float:
    """Seconds in which the GPU was busy; kernels that overlap count once."""
    busy, until = 0.0, float("-inf")
    for span in sorted((event.time_range.start, event.time_range.end) for event in kernels(events)):
        busy += max(0.0, span[1] - max(span[0], until))
        until = max(until, span[1])
    return busy / 1e6


def heaviest(events: Sequence[FunctionEvent], *, on_gpu: bool) -> list[tuple[str, float, int]]:
    """Name, seconds and calls of each kernel (on a CPU, of each operation), the most expensive first."""
    seconds, calls = defaultdict[str, float](float), Counter[str]()
    done = kernels(events) if on_gpu else [event for event in events if not event.is_user_annotation]
    for event in done:
        spent = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        seconds[event.name] += spent / 1e6
        calls[event.name] += 1
    return sorted(((name, spent, calls[name]) for name, spent in seconds.items()), key=lambda one: -one[1])


def split(stages: Mapping[str, float], parts: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, with `training` divided in the proportions of its parts in an eager step.

    A GPU replays training as one graph, which hides its parts; we assume the proportions from before the capture.
    """
    names = (*PARTS, "training")
    known = sum(parts.get(name, 0.0) for name in names)
    if not known or any(name in stages for name in PARTS):
        return dict(stages)
    whole = stages.get("training", 0.0)
    return dict(stages) | {name: whole * parts.get(name, 0.0) / known for name in names}


def _marked_stages(measure: Callable) -> Callable:
    @contextmanager
    def measured(stopwatch: Stopwatch, name: str) -> Iterator[None]:
        with measure(stopwatch, name), record_function(name):
            yield

    return measured


def _marked_as(part: str) -> Callable[[Callable], Callable]:
    def decorate(method: Callable) -> Callable:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with record_function(part):
                return method(*args, **kwargs)

        return call

    return decorate


@contextmanager
def _replaced(owner: type, name: str, decorate: Callable[[Callable], Callable]) -> Iterator[None]:
    original = getattr(owner, name)
    own = name in vars(owner)
    setattr(owner, name, decorate(original))
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def _is_launch(event: FunctionEvent) -> bool:
    """Whether the event is a call of the CUDA API; its ids are separate from those of operations."""
    return event.device_type == DeviceType.CPU and _CUDA_CALL.match(event.name) is not None


def _timeline(events: Sequence[FunctionEvent]) -> tuple[list[float], list[str]]:
    """Times in microseconds and the phase that starts at each; of nested phases, the innermost counts."""
    spans = [
        (event.time_range.start, event.time_range.end, event.name)
        for event in events
        if event.name in PHASES and event.device_type == DeviceType.CPU and event.is_user_annotation
    ]
    # At equal times an end precedes a start, and the longer of two spans starts first.
    edges = [(start, 1, -end, name) for start, end, name in spans if end > start]
    edges += [(end, 0, 0.0, name) for start, end, name in spans if end > start]
    open_phases = [OTHER]
    times, phases = [], []
    for moment, starts, _, name in sorted(edges):
        open_phases.append(name) if starts else open_phases.pop()
        times.append(moment)
        phases.append(open_phases[-1])
    return times, phases
