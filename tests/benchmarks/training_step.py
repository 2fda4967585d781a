"""CPU time of a training step, compared with a bare loop over the same model and views in the same run.

    python -m tests.benchmarks.training_step [--threads 1] [--batch 256] [--steps 4]

The losses of the first steps are compared before anything is timed. Both make their views with the same pipeline, so
the ratio measures our overhead: plan, objective, schedules, sums of loss parts, timing. Reported is the median of 15
short rounds, every second one in reverse order.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import torch

from augment.views import Batch
from orchestrator.config.run import RunConfig, resolve
from orchestrator.core import hardware
from orchestrator.training import assembly, planning
from orchestrator.training.parts import Data
from tests.benchmarks.peers.bare_simclr import SimCLR

ROUNDS = 15
COMPARED_STEPS = 5
LOG = logging.getLogger(__name__)


def run_config(batch: int, threads: int) -> RunConfig:
    """SimCLR with ResNet-8 at 32 px."""
    ops = {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}, "grayscale": {}}}
    return resolve(
        {
            "dataset": {"name": "synthetic", "size": 32, "train_size": 4 * batch, "validation_size": 16},
            "augment": {"recipes": ops},
            "method": {"name": "simclr", "temperature": 0.2},
            "encoder": {"name": "resnet", "depth": 8, "stem": "strided"},
            "optimizer": {"lr": 0.1},
            "training": {"epochs": 1000, "batch_size": batch, "threads": threads, "precision": "fp32"},
            "evaluation": {},
        }
    )


def ours(run: RunConfig, data: Data) -> Callable[[torch.Tensor], float]:
    """The training loop's step; returns the mean loss of all steps so far."""
    training = assembly.training(run, data, torch.device("cpu"))
    training.objective.train()

    def step(rows: torch.Tensor) -> float:
        training.train_step(rows, 1)
        return float(training.state_dict()["part_sums"][0]) / training.step

    return step


def bare(run: RunConfig, data: Data) -> Callable[[torch.Tensor], float]:
    """A step as in a notebook, at the loop's initial learning rate; returns the mean loss of all steps so far."""
    objective = assembly.objective(run)
    pipeline = planning.pipeline(run, objective.plan, data.card)
    model = SimCLR(run.method.temperature, run.method.projector_hidden, run.method.projector_outputs)
    model.load_state_dict(objective.method.state_dict())
    model.to(memory_format=torch.channels_last).train()
    peak = run.optimizer.lr * run.training.batch_size / 256
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9, weight_decay=5e-4, foreach=True)
    images = torch.from_numpy(data.splits["train"].images)
    losses = []

    def step(rows: torch.Tensor) -> float:
        views = pipeline(Batch(images[rows].permute(0, 3, 1, 2).float() / 255), rows, 1)
        loss = model(views["first"].images, views["second"].images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        return float(torch.stack(losses[:COMPARED_STEPS]).mean())

    return step


def main() -> None:
    """Compare, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4, help="per round")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    run = run_config(arguments.batch, arguments.threads)
    data = assembly.load_data(run)
    batches = torch.arange(4 * arguments.batch).split(arguments.batch)
    with hardware.arithmetic(arguments.threads, torch.device("cpu")):
        contestants = {"bare loop": bare(run, data), "ours": ours(run, data)}
        means = {}
        for name, step in contestants.items():
            for k in range(COMPARED_STEPS):
                means[name] = step(batches[k % 4])
        LOG.info("mean loss of %d steps: %s", COMPARED_STEPS, means)
        torch.testing.assert_close(means["ours"], means["bare loop"], rtol=1e-3, atol=0)

        times: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(ROUNDS):
            for name in list(contestants)[:: 1 if number % 2 else -1]:
                start = time.process_time()
                for k in range(arguments.steps):
                    contestants[name](batches[k % 4])
                times[name].append((time.process_time() - start) / arguments.steps)
    for name, seconds in times.items():
        median = statistics.median(seconds)
        spread = 1000 * (max(seconds) - min(seconds))
        LOG.info(
            "%-10s %7.1f ms of CPU time per step (spread %.1f), %6.0f images/s",
            name,
            1000 * median,
            spread,
            arguments.batch / median,
        )
    # Each round times the pair back to back, so that other load on the machine affects both.
    ratios = [ours / peer for ours, peer in zip(times["ours"], times["bare loop"], strict=True)]
    LOG.info("ours / bare loop: %.3f (median of rounds; target: under 1.05)", statistics.median(ratios))


if __name__ == "__main__":
    main()
