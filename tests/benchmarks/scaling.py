"""How time and memory grow: `python -m tests.benchmarks.scaling [--only PART] [--plot FILE]`.

    data     images in a data set: loading, an epoch's order, an epoch of training, neighbours in a bank of fixed size
    views    views per image: SwAV with an increasing number of small views, as large as the others
    batch    images per step
    trials   trials that do nothing but report, through Ray, the ledger and the journal
    cores    concurrent trainings, and workers of one training: images per second, more is better

Prints a table for each with the exponent of a power law (1 is linear growth) and the share of the smallest size's cost
that does not grow. Seconds are CPU time, so that other load on the machine matters little; only `cores` uses wall time.
Each size runs in a separate process, because freed memory does not return to the system.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

from augment import draws
from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.metrics.knn import TEMPERATURE, knn_classes
from orchestrator.probing.features import encoder_features
from orchestrator.training import assembly
from tests.benchmarks.growth import Curve, plot, table
from tests.benchmarks.memory import sizes
from tests.ranks import on_ranks

SIZES = {
    "data": (10_000, 20_000, 40_000, 80_000),
    "views": (2, 4, 8),
    "batch": (32, 64, 128, 256, 512),
    "trials": (10, 20, 40, 80),
    "cores": (1, 2),
}
BANK, NEIGHBOURS = 4096, 80
STEPS = 7
CPU = torch.device("cpu")

Figures = dict[str, float]


def run_config(images: int, batch: int, method: dict[str, Any] | None = None) -> RunConfig:
    """A tiny encoder over 32 px images, so that growing costs are visible."""
    ops = {"weak": {"crop": {}, "flip": {}}, "aggressive": {"grayscale": {}}}
    return resolve(
        {
            "dataset": {"name": "synthetic", "size": 32, "train_size": images, "validation_size": 16},
            "augment": {"recipes": ops | {"small": {"crop": {"scale": [0.1, 0.4]}, "flip": {}}}},
            "method": method or {"name": "simclr"},
            "encoder": {"name": "resnet", "depth": 8, "width": 0.25, "stem": "strided"},
            "optimizer": {"lr": 0.1},
            "training": {"epochs": 1000, "batch_size": batch, "threads": 1},
            "evaluation": {},
        }
    )


def of_data(images: int) -> Figures:
    """Cost of a data set of `images` images: CPU seconds of each part, memory in MB."""
    run, found, before = run_config(images, 256), dict[str, float](), peak_memory()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        answer = work()
        found[f"{name}, s"] = time.process_time() - began
        return answer

    with hardware.arithmetic(1, CPU):
        data = timed("loading", lambda: assembly.load_data(run))
        training = assembly.training(run, data, CPU)
        order = timed("order", lambda: draws.permutation(run.seed, 1, images))
        training.train_step(order[:256], 1)  # warm-up
        timed("an epoch of training", lambda: [training.train_step(rows, 1) for rows in order.split(256)[:-1]])
        encode = encoder_features(training.objective.encoder, data.card.mean, data.card.std)
        features = timed("features", lambda: encode(data.splits["train"].images))
        labels = torch.arange(BANK) % 10
        timed(
            "neighbours",
            lambda: knn_classes(features[:BANK], labels, features, k=NEIGHBOURS, temperature=TEMPERATURE),
        )
    return found | {"data, MB": data.nbytes / 1e6, "peak memory beyond torch, MB": peak_memory() - before}


def of_views(views: int) -> Figures:
    """Cost of a step with `views` views per image."""
    method = {"name": "swav", "num_prototypes": 32, "projector_hidden": 64, "small_views": views - 2, "small_size": 32}
    return of_step(run_config(256, 256, method))


def of_batch(images: int) -> Figures:
    """Cost of a step with a batch of `images` images."""
    return of_step(run_config(images, images))


def of_step(run: RunConfig) -> Figures:
    """Median CPU time of a step in milliseconds, and the memory that steps take."""
    with hardware.arithmetic(1, CPU):
        training = assembly.training(run, assembly.load_data(run), CPU)
        rows, taken, before = torch.arange(run.training.batch_size), [], peak_memory()
        for _ in range(STEPS):
            began = time.process_time()
            training.train_step(rows, 1)
            taken.append(1000 * (time.process_time() - began))
    return {"a step, ms": median(taken[1:]), "memory of steps, MB": peak_memory() - before}


def of_trials(numbers: Sequence[int]) -> list[Figures]:
    """Driver cost of a sweep after each number of ended trials that do nothing, two at a time."""
    from tests.benchmarks.many_actors import marks_of, own_ray

    with own_ray():
        start, *marks = marks_of(max(numbers), 2, sampler="tpe", at=numbers)
    return [
        {
            "time, s": mark.clock - start.clock,
            "CPU of the driver, s": mark.cpu - start.cpu,
            "of which in the ledger, s": mark.in_ledger - start.in_ledger,
            "reports": float(mark.reports),
        }
        for mark in marks
    ]


def of_cores(processes: int) -> Figures:
    """Images per second of concurrent trainings, and of one training with as many workers."""
    with tempfile.TemporaryDirectory() as scratch, multiprocessing.Manager() as manager:
        workers = on_ranks(processes, Path(scratch) / "ranks", rate)
        together = manager.Barrier(processes)
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            alone = list(pool.map(rate, [together] * processes))
    return {"concurrent trainings, images/s": sum(alone), "workers of one training, images/s": min(workers)}


def rate(together: Any = None) -> float:
    """Images per second of a training in this process, or of the distributed one it belongs to; all start together."""
    run = run_config(256, 256)
    with hardware.arithmetic(1, CPU):
        training = assembly.training(run, assembly.load_data(run), CPU)
        rows = torch.arange(256)
        training.train_step(rows, 1)
        if together is not None:
            together.wait()
        began = time.perf_counter()
        for _ in range(3 * STEPS):
            training.train_step(rows, 1)
        return 3 * STEPS * 256 / (time.perf_counter() - began)


def peak_memory() -> float:
    """Peak resident memory of this process, in MB."""
    return sizes("/proc/self/status")["VmHWM"]  # `getrusage` would include the parent's peak


def curves(part: str, sizes: Sequence[int]) -> list[Curve]:
    """All cost curves of a part."""
    if part == "trials":
        found = in_new_process(of_trials, sizes)
    else:
        measure = {"data": of_data, "views": of_views, "batch": of_batch, "cores": of_cores}[part]
        found = [in_new_process(measure, size) for size in sizes]
    return [Curve(name, sizes, [figures[name] for figures in found]) for name in found[0]]


def in_new_process(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function in a fresh process and return its result."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result()


def main() -> None:
    """Measures the selected parts and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SIZES, help="one part")
    parser.add_argument("--sizes", type=int, nargs="+", help="sizes for the selected part, instead of its defaults")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves, as PNG or SVG")
    arguments = parser.parse_args()
    if arguments.sizes and not arguments.only:
        parser.error("--sizes applies to one part: select it with --only")
    measured = {}
    for part in [arguments.only] if arguments.only else SIZES:
        measured[part] = curves(part, arguments.sizes or SIZES[part])
        sys.stdout.write(f"{table(part, measured[part])}\n\n")
        sys.stdout.flush()
    if arguments.plot:
        plot(arguments.plot, measured)


if __name__ == "__main__":
    main()
