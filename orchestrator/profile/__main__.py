"""Where a run's time goes: `python -m orchestrator.profile FILE` makes some of its steps under torch's profiler.

Exit codes: 0 done; 2 a mistake of the user's.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from orchestrator.config.run import RunConfig, resolve, with_values
from orchestrator.core import command_line, hardware
from orchestrator.core.errors import UserError, told
from orchestrator.core.terminal import protect_output
from orchestrator.probing.features import encoder_features
from orchestrator.profile import arguments as described
from orchestrator.profile import phases
from orchestrator.storage.path import in_bytes
from orchestrator.study import shipped
from orchestrator.study.study_file import Study, load_study
from orchestrator.training import assembly, graphs, planning
from orchestrator.training.loop import Training
from orchestrator.training.parts import Data

_UNTIMED = 3 + graphs.WARM_UP  # steps at most
_NAMED = 10  # operations
_NAME_WIDTH = 60  # characters; names of a GPU's kernels can have hundreds

_LABELS = {"training": "training, the rest of it", phases.OTHER: "between them", phases.IDLE: "the GPU idle"}


@dataclass(frozen=True)
class Profile:
    """What was seen of a run's steps and evaluations.

    Args:
        epoch_steps: steps of an epoch.
        step_seconds: of a step that nobody watches.
        watched_seconds: of a step under the profiler.
        seconds: of a step under the profiler, by phase, which add up to `watched_seconds`. On a GPU they are the
            device's own, and `idle` is the rest; on a CPU `other` is.
        work: name, seconds and calls a step of each operation, on a GPU of each kernel, the heaviest first.
        kernels: that a GPU did per step; None on a CPU.
        evaluations: seconds of doing each once, by name; `features`, which all of them read, are made first.
        peak_bytes: of the GPU's memory, or of the process where it trains on a CPU, before the profiler takes its own.
    """

    epoch_steps: int
    step_seconds: float
    watched_seconds: float
    seconds: Mapping[str, float]
    work: Sequence[tuple[str, float, float]]
    kernels: float | None
    evaluations: Mapping[str, float]
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = command_line.parser(described).parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler tells its own doings, a missing GPU among them
    try:
        if options.steps < 1:
            raise UserError(f"--steps >= 1 must hold, got --steps {options.steps}")
        study = load_study(Path(shipped.path_of(options.file)), options.set)
        _require_writable(options.trace)
        device = hardware.device() if study.sweep.gpus_per_worker else torch.device("cpu")  # as Ray shows it to a trial
        seen = profiled(study.run, assembly.load_data(study.run), device, steps=options.steps, trace=options.trace)
    except UserError as error:
        sys.stderr.write(told(error))
        return 2
    sys.stdout.write("\n".join(_lines(study, device, seen, options.steps)) + "\n")
    if options.trace:
        sys.stdout.write(f"\ntrace written to {options.trace}; https://ui.perfetto.dev shows it\n")
    return 0


def profiled(run: RunConfig, data: Data, device: torch.device, *, steps: int, trace: Path | None = None) -> Profile:
    """Makes a run's first steps, each of its evaluations once, and then steps under the profiler.

    Args:
        run: its budget is lengthened if it has too few steps.
        data: its images.
        device: where to train.
        steps: that are timed, and as many that are watched.
        trace: file for the watched steps in Chrome's format.

    Raises:
        UserError: if the settings leave nothing to train.
    """
    on_gpu = device.type == "cuda"
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(_with_steps(run, data.card.train_size, 2 * steps + _UNTIMED), data, device)
        training.objective.train()
        todo = _batches(training)
        _make(training, todo, 1)  # kernels are chosen, and state is made
        first = []
        if on_gpu:
            # The one step whose parts can be seen: after a few more, training is replayed from a graph.
            first, _ = _watched(training, todo, 1)
            _make(training, todo, graphs.WARM_UP)
        step_seconds = _make(training, todo, steps)
        if on_gpu:
            _evaluated(training, data)  # kernels are chosen for these shapes too
        evaluations = _evaluated(training, data)
        peak = torch.cuda.max_memory_allocated() if on_gpu else hardware.process_bytes()
        _watched(training, todo, 1)  # the profiler's own start
        events, watched_seconds = _watched(training, todo, steps, trace)
    whole = watched_seconds * steps
    spent = phases.on_device(events, whole, eager=first) if on_gpu else phases.on_host(events, whole)
    return Profile(
        epoch_steps=training.epoch_steps,
        step_seconds=step_seconds,
        watched_seconds=watched_seconds,
        seconds={name: seconds / steps for name, seconds in spent.items()},
        work=[(name, seconds / steps, n / steps) for name, seconds, n in phases.heaviest(events, on_gpu=on_gpu)],
        kernels=len(phases.kernels(events)) / steps if on_gpu else None,
        evaluations=evaluations,
        peak_bytes=peak,
    )


def _with_steps(run: RunConfig, images: int, steps: int) -> RunConfig:
    """The run, its budget long enough for some steps."""
    epochs = ceil(steps / max(1, images // run.training.batch_size))
    return resolve(with_values(run.dump(), {"training.epochs": max(run.training.epochs, epochs)}))


def _batches(training: Training) -> Iterator[tuple[Tensor, int]]:
    """The rows of one batch after the other, as the loop has them, and the epoch of each."""
    for epoch in range(1, training.run.training.epochs + 1):
        batches = training.batches(epoch)
        training.images.read_ahead(batches)
        yield from ((rows, epoch) for rows in batches)


def _make(training: Training, todo: Iterator[tuple[Tensor, int]], steps: int) -> float:
    """Makes some steps; seconds of one, until the device has done it too."""
    hardware.wait_for(training.device)
    start = time.perf_counter()
    for rows, epoch in islice(todo, steps):
        training.train_step(rows, epoch)
    hardware.wait_for(training.device)
    return (time.perf_counter() - start) / steps


def _watched(
    training: Training, todo: Iterator[tuple[Tensor, int]], steps: int, trace: Path | None = None
) -> tuple[list[FunctionEvent], float]:
    """Makes some steps under the profiler; what it saw, and seconds of one."""
    on_gpu = [ProfilerActivity.CUDA] if training.device.type == "cuda" else []
    with phases.marked(training), profiler(activities=[ProfilerActivity.CPU, *on_gpu]) as seen:
        seconds = _make(training, todo, steps)
    if trace is not None:
        seen.export_chrome_trace(str(trace))
    return list(seen.events() or []), seconds


def _evaluated(training: Training, data: Data) -> dict[str, float]:
    """Seconds of features and of each evaluation without them."""
    encode = encoder_features(training.objective.encoder, data.card.mean, data.card.std)
    seconds = {"features": 0.0}

    def timed_encode(images: np.ndarray) -> Tensor:
        start = time.perf_counter()
        features = encode(images)
        hardware.wait_for(training.device)
        seconds["features"] += time.perf_counter() - start
        return features

    for name, metric in zip(training.run.evaluation, training.metrics, strict=True):
        start, before = time.perf_counter(), seconds["features"]
        metric(timed_encode, data.splits)
        hardware.wait_for(training.device)
        seconds[name] = time.perf_counter() - start - (seconds["features"] - before)
    return seconds


def _lines(study: Study, device: torch.device, seen: Profile, steps: int) -> Iterator[str]:
    run = study.run
    precision = "bf16" if hardware.uses_bf16(run.training.precision, device) else "fp32"
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {run.training.threads} thread(s)"
    size = run.training.batch_size
    yield f"{study.file}: {run.method.name} over {run.encoder.name}, batch {size}, {precision}, on {place}"
    if device.type == "cpu" and torch.cuda.is_available():
        yield "  (trials do not see the GPU that is here: --set sweep.gpus_per_worker=1 gives them one)"
    yield f"  {size / seen.step_seconds:.0f} images/s, {1000 * seen.step_seconds:.1f} ms a step"
    yield f"  memory up to {in_bytes(seen.peak_bytes)}, of the {'process' if seen.kernels is None else 'GPU'}"
    if seen.kernels is not None:
        yield f"  {seen.kernels:.0f} kernels a step"
    yield f"\nwhere a step's time goes (mean of {steps}, {1000 * seen.watched_seconds:.1f} ms each under the profiler)"
    for name in (*phases.PHASES, phases.OTHER, phases.IDLE):
        if name in seen.seconds:
            share, label = seen.seconds[name] / seen.watched_seconds, _LABELS.get(name, name)
            yield f"  {100 * share:5.1f} %  {1000 * seen.seconds[name]:8.2f} ms  {label}"
    yield f"\nthe heaviest of {len(seen.work)} {'operations' if seen.kernels is None else 'kernels'}, with calls a step"
    for name, seconds, calls in seen.work[:_NAMED]:
        yield f"  {100 * seconds / seen.watched_seconds:5.1f} %  {calls:8.1f} x   {name[:_NAME_WIDTH]}"
    yield from _evaluation_lines(run, seen)


def _evaluation_lines(run: RunConfig, seen: Profile) -> Iterator[str]:
    """What the evaluations take of the whole run, each as often as it is due."""
    epochs = range(1, run.training.epochs + 1)
    dues = [[one.config.due(epoch, len(epochs)) for epoch in epochs] for one in planning.metrics(run)]
    times = {name: sum(due) for name, due in zip(run.evaluation, dues, strict=True)}
    times["features"] = max(times.values(), default=0)
    evaluated = {name: seconds * times[name] for name, seconds in seen.evaluations.items()}
    whole = len(epochs) * seen.epoch_steps * seen.step_seconds + sum(evaluated.values())
    yield f"\nthe whole run would take {whole:.0f} s; of them evaluations"
    for name, seconds in seen.evaluations.items():
        yield f"  {100 * evaluated[name] / whole:5.1f} %  {seconds:8.2f} s  x {times[name]}  {name}"


def _require_writable(file: Path | None) -> None:
    """Looks before the work whether the trace can be written after it.

    Raises:
        UserError: if not.
    """
    if file is None:
        return
    try:
        file.open("a").close()
    except OSError as error:
        raise UserError(f"--trace {file} must be a file that can be written ({error.strerror})") from error


if __name__ == "__main__":
    protect_output()
    sys.exit(main())
