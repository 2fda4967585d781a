"""Command `profile`: runs some steps of a study under torch's profiler and shows where their time goes.

Exit codes: 0 done, 2 user error.
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
from orchestrator.core.errors import UserError, error_lines
from orchestrator.probing.features import encoder_features
from orchestrator.profile import arguments as described
from orchestrator.profile import phases
from orchestrator.storage.path import in_bytes
from orchestrator.study import shipped
from orchestrator.study.study_file import Study, load_study
from orchestrator.training import assembly, graphs, planning
from orchestrator.training.loop import Training
from orchestrator.training.parts import Data

_UNTIMED = 3 + graphs.WARM_UP  # maximum number of warm-up steps
_NAMED = 10  # operations listed
_NAME_WIDTH = 60  # characters; kernel names can have hundreds

_LABELS = {"training": "training, remainder", phases.OTHER: "between phases", phases.IDLE: "GPU idle"}


@dataclass(frozen=True)
class Profile:
    """Timings of a run's steps and evaluations.

    Args:
        epoch_steps: number of steps per epoch.
        step_seconds: seconds per step without the profiler.
        watched_seconds: seconds per step under the profiler.
        seconds: seconds per step under the profiler, by phase; they add up to `watched_seconds`. On a GPU they are
            device times and `idle` is the remainder; on a CPU, `other` is.
        work: name, seconds and calls per step of each operation (on a GPU, of each kernel), the most expensive first.
        kernels: number of kernels per step; None on a CPU.
        evaluations: seconds of one evaluation each, by name; `features`, which all of them share, come first.
        peak_bytes: peak memory of the GPU, or of the process on a CPU, without the profiler's own.
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
    """Run the command and return its exit code."""
    options = command_line.parser(described).parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # silences the profiler's own log, such as the note on a missing GPU
    try:
        if options.steps < 1:
            raise UserError(f"--steps {options.steps} is less than 1; profile at least one step")
        study = load_study(Path(shipped.path_of(options.file)), options.set)
        _require_writable(options.trace)
        device = (
            hardware.device() if study.sweep.gpus_per_worker else torch.device("cpu")
        )  # the device that Ray would give a trial
        seen = profiled(study.run, assembly.load_data(study.run), device, steps=options.steps, trace=options.trace)
    except UserError as error:
        sys.stderr.write(error_lines(error))
        return 2
    sys.stdout.write("\n".join(_lines(study, device, seen, options.steps)) + "\n")
    if options.trace:
        sys.stdout.write(f"\ntrace written to {options.trace}; https://ui.perfetto.dev shows it\n")
    return 0


def profiled(run: RunConfig, data: Data, device: torch.device, *, steps: int, trace: Path | None = None) -> Profile:
    """Run the first steps of a run, each of its evaluations once, and then further steps under the profiler.

    Args:
        run: resolved configuration; its epochs are raised if it has too few steps.
        data: images of the run.
        device: device to train on.
        steps: number of steps to time; as many again are profiled.
        trace: file for the profiled steps in Chrome's trace format.

    Raises:
        UserError: the settings leave nothing to train.
    """
    on_gpu = device.type == "cuda"
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(_with_steps(run, data.card.train_size, 2 * steps + _UNTIMED), data, device)
        training.objective.train()
        todo = _batches(training)
        _make(training, todo, 1)  # selects kernels and allocates state
        first = []
        if on_gpu:
            # The parts of training are visible in this step only: after a few more, a CUDA graph replays it as a whole.
            first, _ = _watched(training, todo, 1)
            _make(training, todo, graphs.WARM_UP)
        step_seconds = _make(training, todo, steps)
        if on_gpu:
            _evaluated(training, data)  # selects kernels for these shapes
        evaluations = _evaluated(training, data)
        peak = torch.cuda.max_memory_allocated() if on_gpu else hardware.process_bytes()
        _watched(training, todo, 1)  # start-up of the profiler
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
    """The run with enough epochs for this many steps."""
    epochs = ceil(steps / max(1, images // run.training.batch_size))
    return resolve(with_values(run.dump(), {"training.epochs": max(run.training.epochs, epochs)}))


def _batches(training: Training) -> Iterator[tuple[Tensor, int]]:
    """Yield the rows and the epoch of each batch, in the training loop's order."""
    for epoch in range(1, training.run.training.epochs + 1):
        batches = training.batches(epoch)
        training.images.read_ahead(batches)
        yield from ((rows, epoch) for rows in batches)


def _make(training: Training, todo: Iterator[tuple[Tensor, int]], steps: int) -> float:
    """Run some steps and return the seconds per step, device work included."""
    hardware.wait_for(training.device)
    start = time.perf_counter()
    for rows, epoch in islice(todo, steps):
        training.train_step(rows, epoch)
    hardware.wait_for(training.device)
    return (time.perf_counter() - start) / steps


def _watched(
    training: Training, todo: Iterator[tuple[Tensor, int]], steps: int, trace: Path | None = None
) -> tuple[list[FunctionEvent], float]:
    """Run some steps under the profiler; return its events and the seconds per step."""
    on_gpu = [ProfilerActivity.CUDA] if training.device.type == "cuda" else []
    with phases.marked(training), profiler(activities=[ProfilerActivity.CPU, *on_gpu]) as seen:
        seconds = _make(training, todo, steps)
    if trace is not None:
        seen.export_chrome_trace(str(trace))
    return list(seen.events() or []), seconds


def _evaluated(training: Training, data: Data) -> dict[str, float]:
    """Seconds of the features, and of each evaluation without them."""
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
        yield "  (trials do not use this machine's GPU; --set sweep.gpus_per_worker=1 gives each of them one)"
    yield f"  {size / seen.step_seconds:.0f} images/s, {1000 * seen.step_seconds:.1f} ms a step"
    yield f"  memory up to {in_bytes(seen.peak_bytes)}, of the {'process' if seen.kernels is None else 'GPU'}"
    if seen.kernels is not None:
        yield f"  {seen.kernels:.0f} kernels a step"
    yield f"\nwhere a step's time goes (mean of {steps}, {1000 * seen.watched_seconds:.1f} ms each under the profiler)"
    for name in (*phases.PHASES, phases.OTHER, phases.IDLE):
        if name in seen.seconds:
            share, label = seen.seconds[name] / seen.watched_seconds, _LABELS.get(name, name)
            yield f"  {100 * share:5.1f} %  {1000 * seen.seconds[name]:8.2f} ms  {label}"
    kind = "operations" if seen.kernels is None else "kernels"
    yield f"\nthe most expensive of {len(seen.work)} {kind}, with calls per step"
    for name, seconds, calls in seen.work[:_NAMED]:
        yield f"  {100 * seconds / seen.watched_seconds:5.1f} %  {calls:8.1f} x   {name[:_NAME_WIDTH]}"
    yield from _evaluation_lines(run, seen)


def _evaluation_lines(run: RunConfig, seen: Profile) -> Iterator[str]:
    """Share of the whole run that each evaluation takes, as often as it is due."""
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
    """Reject a trace file that cannot be written, before the work rather than after it.

    Raises:
        UserError: if not.
    """
    if file is None:
        return
    try:
        file.open("a").close()
    except OSError as error:
        raise UserError(f"--trace {file} cannot be written ({error.strerror}); name another file") from error


if __name__ == "__main__":
    sys.exit(command_line.run(main))
