"""The phases of a training step, as torch's profiler sees them: marked from outside, then timed on host and device."""

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

# What the loop itself tells apart, and what lies within the last of these.
STAGES = ("loading", "augmentation", "training")
PARTS = ("forward", "backward", "optimizer", "after step")
PHASES = (*STAGES, *PARTS)

# What lies between the phases, and the time in which a GPU has no work.
OTHER, IDLE = "other", "idle"

_CUDA_CALL = re.compile(r"cu(da)?[A-Z]")


@contextmanager
def marked(training: Training) -> Iterator[None]:
    """Names the phases of every training in this process to the profiler, for the block.

    Methods are replaced rather than the loop changed, so that a step that nobody looks at pays nothing.
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
    """How so many seconds of the host were spent, by phase, and `other`."""
    spent = host_seconds(events)
    return spent | {OTHER: whole - sum(spent.values())}


def on_device(events: Sequence[FunctionEvent], whole: float, *, eager: Sequence[FunctionEvent]) -> dict[str, float]:
    """How so many seconds of a GPU were spent, by the phase that launched the work, and `idle`.

    Args:
        events: of some steps.
        whole: seconds from their start until the GPU had done them.
        eager: of a step without graphs, which shows the parts of training.
    """
    return split(device_seconds(events), device_seconds(eager)) | {IDLE: whole - busy_seconds(events)}


def host_seconds(events: Sequence[FunctionEvent]) -> dict[str, float]:
    """Seconds of the host within each phase, less those within another one inside it."""
    seconds = defaultdict[str, float](float)
    times, phases = _timeline(events)
    for begin, end, phase in zip(times, times[1:], phases, strict=False):
        seconds[phase] += (end - begin) / 1e6
    seconds.pop(OTHER, None)
    return dict(seconds)


def device_seconds(events: Sequence[FunctionEvent]) -> dict[str, float]:
    """Seconds of a GPU spent on what the host launched within each phase."""
    seconds = defaultdict[str, float](float)
    times, phases = _timeline(events)
    # Kernels carry the number of the call that launched them, all those of a graph the same. They are not looked for
    # under operations, for a graph is launched by none; and threads do not matter, for who begins a backward pass in
    # another one waits for its end.
    launches = {event.id: event.time_range.start for event in events if _is_launch(event)}
    for kernel in kernels(events):
        place = bisect_right(times, launches.get(kernel.id, float("-inf"))) - 1
        seconds[phases[place] if place >= 0 else OTHER] += kernel.time_range.elapsed_us() / 1e6
    return dict(seconds)


def kernels(events: Sequence[FunctionEvent]) -> list[FunctionEvent]:
    """What a GPU did, without the marks that the profiler repeats on its timeline."""
    marks = {event.name for event in events if event.device_type == DeviceType.CPU and event.is_user_annotation}
    return [event for event in events if event.device_type != DeviceType.CPU and event.name not in marks]


def busy_seconds(events: Sequence[FunctionEvent]) -> float:
    """Seconds in which a GPU did anything, several things at once counted once."""
    busy, until = 0.0, float("-inf")
    for span in sorted((event.time_range.start, event.time_range.end) for event in kernels(events)):
        busy += max(0.0, span[1] - max(span[0], until))
        until = max(until, span[1])
    return busy / 1e6


def heaviest(events: Sequence[FunctionEvent], *, on_gpu: bool) -> list[tuple[str, float, int]]:
    """Name, seconds and calls of each kind of work, the longest first: of kernels, or on a CPU of operations alone."""
    seconds, calls = defaultdict[str, float](float), Counter[str]()
    done = kernels(events) if on_gpu else [event for event in events if not event.is_user_annotation]
    for event in done:
        spent = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        seconds[event.name] += spent / 1e6
        calls[event.name] += 1
    return sorted(((name, spent, calls[name]) for name, spent in seconds.items()), key=lambda one: -one[1])


def split(stages: Mapping[str, float], parts: Mapping[str, float]) -> dict[str, float]:
    """The stages' seconds, `training` divided as the parts were where each could still be seen.

    A GPU replays training as one graph, which no longer tells its parts; they take what they took before the capture.
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
    """Whether it is a call of CUDA's, whose numbers are not those of operations."""
    return event.device_type == DeviceType.CPU and _CUDA_CALL.match(event.name) is not None


def _timeline(events: Sequence[FunctionEvent]) -> tuple[list[float], list[str]]:
    """Moments in microseconds, and the phase from each of them on; phases nest, and the innermost counts."""
    spans = [
        (event.time_range.start, event.time_range.end, event.name)
        for event in events
        if event.name in PHASES and event.device_type == DeviceType.CPU and event.is_user_annotation
    ]
    # At one moment an end comes before a start, and of two starts the longer span's.
    edges = [(start, 1, -end, name) for start, end, name in spans if end > start]
    edges += [(end, 0, 0.0, name) for start, end, name in spans if end > start]
    open_phases = [OTHER]
    times, phases = [], []
    for moment, starts, _, name in sorted(edges):
        open_phases.append(name) if starts else open_phases.pop()
        times.append(moment)
        phases.append(open_phases[-1])
    return times, phases
