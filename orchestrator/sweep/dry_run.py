"""The output of `--dry-run`: the resolved plan of a study, and its cost estimated from a few steps on this machine."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from augment.views import ViewSpec
from methods.contract import Plan
from orchestrator.core import hardware
from orchestrator.probing.features import encoder_features
from orchestrator.storage.path import in_bytes
from orchestrator.study.study_file import Study
from orchestrator.training import assembly, checkpoint
from orchestrator.training.loop import Training
from orchestrator.training.parts import Data

_STEPS = 3  # timed steps, after one warm-up step
_CPU_BATCH = 128  # images of a timed step; a GPU gets the whole batch, because smaller ones underuse it


@dataclass(frozen=True)
class Cost:
    """The cost of one trial.

    Args:
        seconds: of training and evaluating to the end of the budget, alone on the machine.
        work_bytes: weights, optimiser, what a batch leaves for the backward pass, and masks and backgrounds if needed.
        process_bytes: of a process before that: interpreter and libraries.
        data_bytes: of decoded images, shared by all trials.
        checkpoint_bytes: of one checkpoint.
        encoder_bytes: of the exported encoder.
    """

    seconds: float
    work_bytes: int
    process_bytes: int
    data_bytes: int
    checkpoint_bytes: int
    encoder_bytes: int


def dry_run(study: Study) -> str:
    """The resolved plan of a study and an estimate of its time, memory and disk, as text; trains a few steps."""
    process_bytes = hardware.process_bytes()
    data = assembly.load_data(study.run)
    device = hardware.device() if study.sweep.gpus_per_worker else torch.device("cpu")  # the device that a trial gets
    with hardware.arithmetic(study.run.training.threads, device):
        training = assembly.training(study.run, data, device)
        cost = measured(training, data, process_bytes=process_bytes)
    lines = [
        f"{study.file}: sweep {study.sweep.name}, {study.sweep.trials} trials of {study.run.training.epochs} epochs, "
        f"{study.sweep.concurrency} at a time, for "
        + " and ".join(f"the {goal.mode}imum of {goal.metric}" for goal in study.sweep.goals),
        *_objective_lines(study, training.objective.plan),
        *_search_lines(study),
        *_cost_lines(study, cost, device),
    ]
    return "\n".join(lines) + "\n"


def _objective_lines(study: Study, plan: Plan) -> Iterator[str]:
    run, settings = study.run, study.run.dump()["encoder"]
    encoder = f"{settings.pop('name')} ({', '.join(f'{name} {value}' for name, value in settings.items())})"
    yield f"\nobjective: {' + '.join([run.method.name, *run.addons])} over {encoder}, {run.dataset.name}"
    for name, spec in plan.views.items():
        ops = [step.name for recipe in spec.recipe for step in plan.recipes[recipe]]
        yield f"  view {name}: {', '.join(ops)}, from {_origin(spec)}"
    middle = torch.tensor(0.5)
    for pair in plan.pairs:
        weight = f"{float(pair.weight_at(middle)):.3g}" + (" (halfway)" if callable(pair.weight) else "")
        negatives = f", contrasted with {', '.join(pair.negatives)}" if pair.negatives else ""
        yield f"  pair {pair.query} -> {pair.key} ({pair.key_from}), weight {weight}{negatives}"


def _origin(spec: ViewSpec) -> str:
    after = "" if spec.after is None else f" after {spec.after}"
    return f"{spec.parent}{after}" if spec.parent else "the image"


def _search_lines(study: Study) -> Iterator[str]:
    sweep, rungs = study.sweep, study.sweep.rungs(study.run.training.epochs)
    fields = ", ".join(f"{field} = {value}" for field, value in sweep.sampler if field != "name")
    sampler = f"{sweep.sampler.name} ({fields})" if fields else sweep.sampler.name
    yield f"\nsearch: {sampler} over {len(study.space.dimensions)} dimensions"
    yield from (f"  {line}" for line in study.space.describe())
    for number, entry in enumerate(sweep.enqueue[: sweep.trials]):
        yield f"  trial {number}: " + ", ".join(f"{path} = {value}" for path, value in entry.items())
    if rungs:
        yield f"  {sweep.scheduler.name} may stop a trial after epoch {', '.join(map(str, rungs))}"
    if sweep.confirm:
        yield f"confirm: up to {sweep.most_repeats} trials more, {sweep.confirm.seeds} new seeds for each of the best"
        yield f"  {sweep.confirm.top} settings and of what is enqueued"


def _cost_lines(study: Study, cost: Cost, device: torch.device) -> Iterator[str]:
    sweep = study.sweep
    trials = sweep.trials + sweep.most_repeats
    together = min(sweep.concurrency, max(sweep.trials, sweep.most_repeats), _room(study, device))
    # A round that is not full takes no less time, and repeats wait for the end of the search.
    one = cost.seconds / sweep.workers
    seconds = one * sum(math.ceil(count / together) for count in (sweep.trials, sweep.most_repeats))
    memory = together * sweep.workers * (cost.work_bytes + cost.process_bytes) + cost.data_bytes
    encoders = min(trials, sweep.keep)
    disk = together * (checkpoint.KEPT + 1) * cost.checkpoint_bytes + encoders * cost.encoder_bytes
    yield f"\ncost, estimated from {_STEPS} steps on this machine ({device.type}):"
    alone, whole = _minutes(one), _minutes(seconds)
    yield f"  time    about {alone} a trial, {whole} in all with {together} at a time, if none is stopped early;"
    yield "          the start of Ray and the fitting of probes come on top"
    process, work, images = (in_bytes(part) for part in (cost.process_bytes, cost.work_bytes, cost.data_bytes))
    yield f"  memory  about {in_bytes(memory)} and what Ray takes: {process} for each process, {work} for the weights"
    yield f"          and batch of each, {images} of images shared by all"
    yield f"  disk    up to {in_bytes(disk)}: checkpoints while trials run, and {encoders} encoders"


def measured(training: Training, data: Data, *, process_bytes: int) -> Cost:
    """What a trial would cost, from a few steps of it; they move its weights.

    Args:
        training: not started; every trial is assumed to cost the same.
        data: what it trains on.
        process_bytes: of a process without a training.
    """
    run = training.run
    sample = run.training.batch_size if training.device.type == "cuda" else min(run.training.batch_size, _CPU_BATCH)
    rows = torch.arange(sample, device=training.device)

    def step() -> None:
        training.step = 0  # always the first step: a training may have fewer of them than are timed
        training.train_step(rows, 1)

    with _kept_for_backward() as kept:
        step()
    # The fastest one: other processes on the machine can only make a step slower.
    step_seconds = min(_timed(step, training.device) for _ in range(_STEPS))
    images = data.splits["train"].images[:sample]
    encode = encoder_features(training.objective.encoder, data.card.mean, data.card.std)
    encode_seconds = _timed(lambda: encode(images), training.device)

    steps = training.steps * run.training.batch_size / sample
    epochs = range(1, run.training.epochs + 1)
    # In one epoch each split is encoded once, however many evaluations read it.
    read = [
        {split for one in training.metrics if one.config.due(epoch, len(epochs)) for split in one.splits}
        for epoch in epochs
    ]
    encoded = sum(len(data.splits[split]) for splits in read for split in splits) / sample
    state_bytes = _tensor_bytes(training.state_dict())
    return Cost(
        seconds=steps * step_seconds + encoded * encode_seconds,
        work_bytes=state_bytes + sum(kept.values()) * run.training.batch_size // sample + training.images.own_bytes,
        process_bytes=process_bytes,
        data_bytes=data.nbytes,
        checkpoint_bytes=state_bytes,
        encoder_bytes=_tensor_bytes(training.objective.encoder.state_dict()),
    )


@contextmanager
def _kept_for_backward() -> Iterator[dict[int, int]]:
    """Counts the bytes that the block's forward passes leave for their backward pass, by address, so each once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _timed(work: Callable[[], object], device: torch.device) -> float:
    hardware.wait_for(device)
    start = time.perf_counter()
    work()
    hardware.wait_for(device)
    return time.perf_counter() - start


def _room(study: Study, device: torch.device) -> int:
    """How many trials this machine can compute at a time."""
    if device.type == "cuda":
        return max(1, int(torch.cuda.device_count() / (study.sweep.workers * study.sweep.gpus_per_worker)))
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // (study.sweep.workers * max(study.run.training.threads, study.sweep.cpus_per_worker)))


def _tensor_bytes(state: Any) -> int:
    if isinstance(state, Tensor):
        return state.nbytes
    parts = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return sum(_tensor_bytes(part) for part in parts)


def _minutes(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
