"""What each layer adds to a training step of its method, on ResNet-18 at 32 px with the CIFAR stem.

    python -m tests.benchmarks.layer_cost [--threads 1] [--batch 32] [--rounds 7]

Steps with and without the layer take turns, augmentation included, and the ratio is the median over the turns' own
ratios, in CPU time: so that what else the machine does falls on neither. Aims: AugSelf below 1.03; MSR over BYOL as
much as BYOL, whose passes and photometric stage it shares.
"""

import argparse
import logging
import statistics
import time
from typing import Any

import torch

from orchestrator import build
from orchestrator.spec.config import RunConfig, resolve
from orchestrator.training import hardware
from orchestrator.training.loop import Training

# Method, layers, aim.
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("byol", {"augself": {}}, "below 1.03"),
    ("simclr", {"augself": {}}, "below 1.03"),
    ("simclr", {"augself": {"flip": 1.0, "blur": 1.0, "solarize": 1.0, "rotate": 1.0}}, "below 1.03"),
    ("byol", {"msr": {}}, "about 1"),
    ("simclr", {"msr": {}}, "about 2: weak views keep their gradient"),
]
LOG = logging.getLogger(__name__)


def training(method: str, addons: dict[str, Any], batch: int, threads: int) -> Training:
    """A training of the method with its layers, ready to step."""
    run = run_config(method, addons, batch, threads)
    made = Training(run, build.load_data(run), torch.device("cpu"))
    made.objective.train()
    return made


def run_config(method: str, addons: dict[str, Any], batch: int, threads: int) -> RunConfig:
    """Every op in the recipes, so that each can be predicted and base and layer augment alike."""
    aggressive = {"color_jitter": {}, "solarize": {}, "grayscale": {}, "blur": {}, "rotate": {}}
    return resolve(
        {
            "dataset": {"name": "synthetic", "size": 32, "train_size": batch, "validation_size": 16},
            "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": aggressive}},
            "method": {"name": method},
            "addons": addons,
            "encoder": {"name": "resnet", "depth": 18, "stem": "cifar"},
            "optimizer": {"lr": 0.05},
            "training": {"epochs": 1000, "batch_size": batch, "threads": threads, "precision": "fp32"},
            "evaluation": {},
        }
    )


def seconds_of_step(one: Training) -> float:
    """CPU seconds of one step on all images."""
    start = time.process_time()
    one.train_step(torch.arange(one.run.training.batch_size), 1)
    return time.process_time() - start


def main() -> None:
    """Time every layer against its method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with hardware.arithmetic(arguments.threads, torch.device("cpu")):
        for method, addons, aim in CASES:
            pair = [training(method, layers, arguments.batch, arguments.threads) for layers in ({}, addons)]
            for one in pair:
                seconds_of_step(one)  # warm up
            seconds = []
            for number in range(arguments.rounds):
                order = (0, 1) if number % 2 else (1, 0)
                taken = {place: seconds_of_step(pair[place]) for place in order}
                seconds.append((taken[0], taken[1]))
            ratios = sorted(layered / base for base, layered in seconds)
            LOG.info(
                "%-7s %-90s %6.0f ms a step alone, x %.3f with it (%.3f to %.3f; aim: %s)",
                method,
                addons,
                1000 * statistics.median(base for base, _ in seconds),
                statistics.median(ratios),
                ratios[0],
                ratios[-1],
                aim,
            )


if __name__ == "__main__":
    main()
