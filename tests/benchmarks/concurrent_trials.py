"""Images per second of several trials that train concurrently on one GPU or CPU, against one trial alone.

    python -m tests.benchmarks.concurrent_trials                    GPU: ResNet-18, 1, 2, 4 and 8 trials; CPU: ResNet-8
    python -m tests.benchmarks.concurrent_trials --trials 1 2 4 --depth 18 --batch 256 --how threads

Each trial is a separate process (with `--how threads`, a thread with its own CUDA stream) and trains the same run with
the training loop's own epochs on memory-mapped images. All trials are started once; each round runs the requested
number of them for `--seconds` while the others wait. Reported is the median of 5 rounds; every second round runs in
reverse order. On a CPU the trials divide the threads: one trial has all cores, two have half of them each. On a GPU
processes take turns unless NVIDIA's MPS runs; threads share it. Target: 8 trials on one H200 reach 1.5 times the images
per second of one.
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
BUDGET = 10_000  # epochs, more than any measurement needs
IMAGES, LABELS = "images.npy", "labels.npy"
LOG = logging.getLogger(__name__)


class Shared(NamedTuple):
    """What trials share: a barrier, a lock for starting, a queue for their reports, and the seconds of a round."""

    barrier: Any
    start: Any
    reports: Any
    seconds: float


def save_images(run: RunConfig, folder: Path) -> None:
    """Decode the images once for all trials."""
    train = assembly.load_data(run).splits["train"]
    np.save(folder / IMAGES, train.images)
    np.save(folder / LABELS, train.labels)


def mapped(run: RunConfig, folder: Path) -> Data:
    """The saved images, in memory that all processes share."""
    images, labels = (np.load(folder / name, mmap_mode="r") for name in (IMAGES, LABELS))
    card = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    return Data(card, {"train": ImageSet(images=images, labels=labels, masks=None)})


def trial(number: int, settings: dict[str, Any], folder: Path, rounds: list[tuple[int, int]], shared: Shared) -> None:
    """Train in every round that has this trial in it; report images per second, then memory.

    Args:
        number: Number of the trial, from 0.
        settings: Settings of the run.
        folder: Folder of the saved images.
        rounds: Per round, the number of active trials and the CPU threads of each.
        shared: Objects shared with the other trials.
    """
    run, device = resolve(settings), hardware.device()
    on_stream = torch.cuda.stream(torch.cuda.Stream()) if device.type == "cuda" else nullcontext()
    try:
        with on_stream, hardware.arithmetic(run.training.threads, device):
            with shared.start:
                training = assembly.training(run, mapped(run, folder), device)
                training.run_epoch(Nowhere())  # warm-up, not timed: selects kernels and captures graphs
                hardware.wait_for(device)
            for at_work, threads in rounds:
                torch.set_num_threads(threads)
                shared.barrier.wait(PATIENCE)
                if number < at_work:
                    shared.reports.put(rate(training, shared.seconds))
                shared.barrier.wait(PATIENCE)
            shared.reports.put(memory())
            shared.barrier.wait(PATIENCE)  # keeps all trials alive while memory is measured
    except BaseException:
        shared.reports.put(f"trial {number}: {traceback.format_exc()}")
        raise


def rate(training: Training, seconds: float) -> float:
    """Images per second over whole epochs, measured for at least `seconds`."""
    start, step = time.perf_counter(), training.step
    while time.perf_counter() - start < seconds:
        training.run_epoch(Nowhere())
        hardware.wait_for(training.device)
    images = (training.step - step) * training.run.training.batch_size
    return images / (time.perf_counter() - start)


def memory() -> dict[str, int]:
    """Memory of this process in bytes, by kind."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    size = {line[0]: 1024 * int(line[1]) for line in lines}
    found = {
        "peak, shared pages included": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "now, with its share of shared pages": size["Pss:"],
        "now, private": size["Private_Clean:"] + size["Private_Dirty:"],
    }
    if torch.cuda.is_available():
        found["GPU peak, images included"] = torch.cuda.max_memory_allocated()
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
    """Number of active trials and CPU threads of each, round by round."""
    cores = len(os.sched_getaffinity(0))
    turns = [trials[:: 1 if number % 2 == 0 else -1] for number in range(ROUNDS)]
    return [(count, max(1, cores // count)) for turn in turns for count in turn]


def start(options: argparse.Namespace, jobs: list[tuple]) -> tuple[list[Any], Shared]:
    """Start all trials; return them with the objects that they share."""
    processes = multiprocessing.get_context("spawn")
    if options.how == "threads":
        # Start one at a time: no other thread may allocate while one captures a CUDA graph.
        shared = Shared(threading.Barrier(len(jobs)), threading.Lock(), queue.SimpleQueue(), options.seconds)
        trials = [threading.Thread(target=trial, args=(*job, shared), daemon=True) for job in jobs]
    else:
        shared = Shared(processes.Barrier(len(jobs)), nullcontext(), processes.SimpleQueue(), options.seconds)
        trials = [processes.Process(target=trial, args=(*job, shared), daemon=True) for job in jobs]
    for one in trials:
        one.start()
    return trials, shared


def next_report(shared: Shared) -> Any:
    """The next report of any trial; exits with the traceback if a trial failed."""
    report = shared.reports.get()
    if isinstance(report, str):
        raise SystemExit(report)
    return report


def main() -> None:
    """Start all trials, run as many as each round needs, and print the result."""
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
            rates[count].append(sum(next_report(shared) for _ in range(count)))
        held = [next_report(shared) for _ in trials]
        for one in trials:
            one.join()
        image_bytes = (Path(scratch) / IMAGES).stat().st_size
    log_results(options, rates, held, image_bytes)


def log_results(
    options: argparse.Namespace, rates: dict[int, list[float]], held: list[dict[str, int]], images: int
) -> None:
    alone = statistics.median(rates[min(rates)]) / min(rates)
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{len(os.sched_getaffinity(0))} CPU cores"
    LOG.info("%s, ResNet-%d, batch %d, %s on %s:", options.method, options.depth, options.batch, options.how, place)
    for count, values in rates.items():
        median = statistics.median(values)
        LOG.info("  %d at a time: %8.1f images/s in total, %5.2f x one alone", count, median, median / alone)
    LOG.info("memory of each of %d trials, which all map the same %s of images:", len(held), in_bytes(images))
    for name in held[0]:
        LOG.info("  %9s  %s", in_bytes(int(statistics.median(one[name] for one in held))), name)


if __name__ == "__main__":
    main()
