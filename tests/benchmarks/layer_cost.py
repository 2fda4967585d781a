"""How much each add-on layer adds to a training step of its method, on ResNet-18 at 32 px with the CIFAR stem.

    python -m tests.benchmarks.layer_cost [--threads 1] [--batch 32] [--rounds 9]

Steps with and without the layer alternate, augmentation included. The ratio is the median of the ratios of each pair,
in CPU time, so that other load on the machine affects both.
"""

import argparse
import logging
import statistics
import time
from typing import Any

import torch

from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.training import assembly
from orchestrator.training.loop import Training

ALL_HEADS = {"flip": 1.0, "blur": 1.0, "rotate": 1.0, "solarize": 1.0}
# Each case: name, method, add-on layers and expected result.
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("augself over simclr", "simclr", {"augself": {}}, "aim: below 1.03"),
    ("augself, all six heads", "simclr", {"augself": ALL_HEADS}, "aim: below 1.03"),
    ("augself over byol", "byol", {"augself": {}}, "aim: below 1.03"),
    ("msr over byol", "byol", {"msr": {}}, "expected: about 1, the same passes and ops"),
    ("msr over simclr", "simclr", {"msr": {}}, "expected: about 2, weak views are encoded too, with gradients"),
    ("background over byol", "byol", {"background": {}}, "no extra pass"),
    (
        "background over moco_v2",
        "moco_v2",
        {"background": {"kind": "swap"}},
        "one more pass of the momentum encoder, for matched negatives",
    ),
]
LOG = logging.getLogger(__name__)


def training(method: str, addons: dict[str, Any], batch: int, threads: int) -> Training:
    """Build the training of a method with its layers."""
    run = run_config(method, addons, batch, threads)
    made = assembly.training(run, assembly.load_data(run), torch.device("cpu"))
    made.objective.train()
    return made


def run_config(method: str, addons: dict[str, Any], batch: int, threads: int) -> RunConfig:
    """A run whose recipes have every op: AugSelf can predict each, and both contestants augment equally."""
    aggressive = {"color_jitter": {}, "solarize": {}, "grayscale": {}, "blur": {}, "rotate": {}}
    return resolve(
        {
            "dataset": {"name": "fashion_scenes", "train_size": batch, "validation_size": 10, "test_size": 10},
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
    """CPU seconds of one training step on all images."""
    start = time.process_time()
    one.train_step(torch.arange(one.run.training.batch_size), 1)
    return time.process_time() - start


def main() -> None:
    """Time every layer against its method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with hardware.arithmetic(arguments.threads, torch.device("cpu")):
        for name, method, addons, expected in CASES:
            pair = [training(method, layers, arguments.batch, arguments.threads) for layers in ({}, addons)]
            base, ratios = turns(pair, arguments.rounds)
            LOG.info(
                "%-24s x %.3f (%.3f to %.3f) of %5.0f ms; %s",
                name,
                statistics.median(ratios),
                min(ratios),
                max(ratios),
                1000 * base,
                expected,
            )


def turns(pair: list[Training], rounds: int) -> tuple[float, list[float]]:
    """Median step time of the first training, and the ratio of the second to the first in each round."""
    for one in pair:
        seconds_of_step(one)  # warm up
    base, ratios = [], []
    for number in range(rounds):
        taken = {place: seconds_of_step(pair[place]) for place in ((0, 1) if number % 2 else (1, 0))}
        base.append(taken[0])
        ratios.append(taken[1] / taken[0])
    return statistics.median(base), ratios


if __name__ == "__main__":
    main()
