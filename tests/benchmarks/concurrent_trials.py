"""Images per second of several trials that train at once on one GPU, or on the CPU's cores, against one alone.

    python -m tests.benchmarks.concurrent_trials                    GPU: ResNet-18, 1, 2, 4 and 8 trials; CPU: ResNet-8
    python -m tests.benchmarks.concurrent_trials --trials 1 2 4 --depth 18 --batch 256 --how threads

Each trial is a process of its own (or a thread with a stream of its own, with `--how threads`) and runs the loop's own
epochs of the same run on images that are mapped, not copied. All of them are started once; as many as a round asks for
work at a time, for `--seconds` each, while the others wait. Median of 5 rounds, the order turned round in every second
one. On a CPU the threads are shared out: one trial has all cores, two have half of them each. On a GPU processes take
turns, unless NVIDIA's MPS is at work; threads share it. Aim: 8 trials on one H200 give 1.5 times the images per second
of one.
"""

import argparse
import logging
import multiprocessing
import os
import queue
import resource
import statistics
import tempfile
import threading
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.core.registry import find
from orchestrator.data.images import ImageSet
from orchestrator.storage.path import in_bytes
from orchestrator.training import assembly
from orchestrator.training.loop import Training
from orchestrator.training.parts import Data
from tests.benchmarks.training_epoch import Nowhere, changed, run_config

ROUNDS = 5
PATIENCE = 600.0  # seconds for the start of all trials, and for a round
BUDGET = 10_000  # epochs, more than anybody waits for
IMAGES, LABELS = "images.npy", "labels.npy"
LOG = logging.getLogger(__name__)


class Shared(NamedTuple):
    """What trials share: a barrier of all of them, the right to start, where they tell, seconds of a round."""

    barrier: Any
    start: Any
    told: Any
    seconds: float


def save_images(run: RunConfig, folder: Path) -> None:
    """Decode once, for all."""
    train = assembly.load_data(run).splits["train"]
    np.save(folder / IMAGES, train.images)
    np.save(folder / LABELS, train.labels)


def mapped(run: RunConfig, folder: Path) -> Data:
    """The saved images, in memory that all processes share."""
    images, labels = (np.load(folder / name, mmap_mode="r") for name in (IMAGES, LABELS))
    card = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    return Data(card, {"train": ImageSet(images=images, labels=labels, masks=None)})


def trial(number: int, settings: dict[str, Any], folder: Path, rounds: list[tuple[int, int]], shared: Shared) -> None:
    """Train in every round that has this trial in it; tell images per second, then memory.

    Args:
        number: of the trial, from 0.
        settings: of the run.
        folder: of the images.
        rounds: trials at work and CPU threads of each.
        shared: with the other trials.
    """
    run, device = resolve(settings), hardware.device()
    on_stream = torch.cuda.stream(torch.cuda.Stream()) if device.type == "cuda" else nullcontext()
    try:
        with on_stream, hardware.arithmetic(run.training.threads, device):
            with shared.start:
                training = assembly.training(run, mapped(run, folder), device)
                training.run_epoch(Nowhere())  # not timed: kernels are chosen, graphs captured
                hardware.wait_for(device)
            for at_work, threads in rounds:
                torch.set_num_threads(threads)
                shared.barrier.wait(PATIENCE)
                if number < at_work:
                    shared.told.put(rate(training, shared.seconds))
                shared.barrier.wait(PATIENCE)
            shared.told.put(memory())
            shared.barrier.wait(PATIENCE)  # all are there while their memory is counted
    except BaseException:
        shared.told.put(f"trial {number}: {traceback.format_exc()}")
        raise


def rate(training: Training, seconds: float) -> float:
    """Images per second over whole epochs, for some seconds at least."""
    start, step = time.perf_counter(), training.step
    while time.perf_counter() - start < seconds:
        training.run_epoch(Nowhere())
        hardware.wait_for(training.device)
    images = (training.step - step) * training.run.training.batch_size
    return images / (time.perf_counter() - start)


def memory() -> dict[str, int]:
    """Bytes of this process."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    size = {line[0]: 1024 * int(line[1]) for line in lines}
    found = {
        "peak, with what is shared": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "now, with its part of what is shared": size["Pss:"],
        "now, its own": size["Private_Clean:"] + size["Private_Dirty:"],
    }
    if torch.cuda.is_available():
        found["peak of the GPU's, its images included"] = torch.cuda.max_memory_allocated()
    return found


def arguments() -> argparse.Namespace:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4, 8] if on_gpu else [1, 2])
    parser.add_argument("--how", choices=["processes", "threads"], default="processes")
    parser.add_argument("--method", choices=["simclr", "byol"], default="simclr")
    parser.add_argument("--depth", type=int, choices=[8, 18], default=18 if on_gpu else 8, help="of the ResNet")
    parser.add_argument("--batch", type=int, default=256 if on_gpu else 64)
    parser.add_argument("--data-size", type=int, default=10_240 if on_gpu else 512, help="images of an epoch")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a round, at least")
    return parser.parse_args()


def plan(trials: list[int]) -> list[tuple[int, int]]:
    """Trials at work and CPU threads of each, round by round."""
    cores = len(os.sched_getaffinity(0))
    turns = [trials[:: 1 if number % 2 == 0 else -1] for number in range(ROUNDS)]
    return [(count, max(1, cores // count)) for turn in turns for count in turn]


def start(options: argparse.Namespace, jobs: list[tuple]) -> tuple[list[Any], Shared]:
    """The trials at work, and what they share."""
    processes = multiprocessing.get_context("spawn")
    if options.how == "threads":
        # One after the other, for while one captures a graph no other may call for memory.
        shared = Shared(threading.Barrier(len(jobs)), threading.Lock(), queue.SimpleQueue(), options.seconds)
        trials = [threading.Thread(target=trial, args=(*job, shared), daemon=True) for job in jobs]
    else:
        shared = Shared(processes.Barrier(len(jobs)), nullcontext(), processes.SimpleQueue(), options.seconds)
        trials = [processes.Process(target=trial, args=(*job, shared), daemon=True) for job in jobs]
    for one in trials:
        one.start()
    return trials, shared


def told(shared: Shared) -> Any:
    """What one of the trials says next, or its end if it failed."""
    said = shared.told.get()
    if isinstance(said, str):
        raise SystemExit(said)
    return said


def main() -> None:
    """Start all trials, let as many work as each round asks for, and tell."""
    options = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run = run_config(options.method, images=options.data_size, batch=options.batch)
    run = changed(run, {"encoder.depth": options.depth, "training.epochs": BUDGET})
    rounds = plan(options.trials)
    rates: dict[int, list[float]] = {count: [] for count in options.trials}
    with tempfile.TemporaryDirectory() as scratch:
        save_images(run, Path(scratch))
        trials, shared = start(options, [(n, run.dump(), Path(scratch), rounds) for n in range(max(options.trials))])
        for count, _ in rounds:
            rates[count].append(sum(told(shared) for _ in range(count)))
        held = [told(shared) for _ in trials]
        for one in trials:
            one.join()
        image_bytes = (Path(scratch) / IMAGES).stat().st_size
    tell(options, rates, held, image_bytes)


def tell(options: argparse.Namespace, rates: dict[int, list[float]], held: list[dict[str, int]], images: int) -> None:
    alone = statistics.median(rates[min(rates)]) / min(rates)
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{len(os.sched_getaffinity(0))} CPU cores"
    LOG.info("%s, ResNet-%d, batch %d, %s on %s:", options.method, options.depth, options.batch, options.how, place)
    for count, values in rates.items():
        median = statistics.median(values)
        LOG.info("  %d at a time: %8.1f images/s in all, %5.2f x one alone", count, median, median / alone)
    LOG.info("memory of each of %d, %s of images, which all map:", len(held), in_bytes(images))
    for name in held[0]:
        LOG.info("  %9s  %s", in_bytes(int(statistics.median(one[name] for one in held))), name)


if __name__ == "__main__":
    main()
