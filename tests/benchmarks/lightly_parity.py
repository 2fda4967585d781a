"""Do our methods learn as well as lightly's? Same views, initial weights, optimiser and seeds; only the code differs.

python -m tests.benchmarks.lightly_parity                       all five methods
python -m tests.benchmarks.lightly_parity simclr swav --epochs 3

Both train side by side, in float64: in float32 rounding makes two correct implementations diverge within a hundred
steps, and it would take dozens of seeds to distinguish that from a bug. Prints the validation kNN accuracy
(`val_knn/1`) of both, the paired difference with its 95 % interval, which must lie within 1.5 points, and the largest
relative difference between the two losses at any step. Needs neither Ray nor MLflow; the output folder keeps every run.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment import draws
from methods.contract import Encoder
from orchestrator.config.run import RunConfig, identity, resolve
from orchestrator.core import hardware
from orchestrator.probing.features import encoder_features
from orchestrator.storage.path import parse
from orchestrator.training import assembly, groups, loop, planning
from tests.benchmarks.paired import interval
from tests.benchmarks.paper_studies import SHARED
from tests.benchmarks.peers import lightly_methods as lightly

METRIC, MARGIN = "val_knn/1", 1.5
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"name": "simclr", "temperature": 0.1, "projector_hidden": 256},
    "moco_v2": {"name": "moco_v2", "momentum": 0.99, "queue_size": 2048, "projector_hidden": 256},
    "byol": {"name": "byol", "hidden": 256},
    "simsiam": {"name": "simsiam", "outputs": 256, "bottleneck": 64},
    "swav": {"name": "swav", "projector_hidden": 256, "freeze": 0.0},
}
# Builds lightly's methods from our networks' initial weights.
PEERS: dict[str, Callable[[Any], nn.Module]] = {
    "simclr": lambda own: lightly.SimCLR(own.encoder, own.projector, temperature=own.temperature),
    "moco_v2": lambda own: lightly.MoCo(
        own.encoder, own.projector, queue=own.queue.rows, temperature=own.temperature, momentum=own.momentum
    ),
    "byol": lambda own: lightly.BYOL(own.encoder, own.projector, own.predictor, momentum=own.momentum),
    "simsiam": lambda own: lightly.SimSiam(own.encoder, own.projector, own.predictor),
    "swav": lambda own: lightly.SwAV(
        own.encoder,
        own.projector,
        own.prototypes.weight,
        temperature=own.config.temperature,
        epsilon=own.config.epsilon,
    ),
}


def main() -> int:
    """Trains missing runs and prints the results; the exit code is 0 if all intervals lie within the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", choices=[[], *METHODS], default=[])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("studies/lightly"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.methods or list(METHODS)
    jobs = [(name, seed, options.epochs, options.out) for name in names for seed in range(1, options.seeds + 1)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = iter(pool.starmap(scores, jobs, chunksize=1))
    print(f"{METRIC}, {options.epochs} epochs, {options.seeds} seeds: ours, lightly's, difference [95 % interval]")
    equivalent = True
    for name in names:
        ours, theirs, drifts = np.array([next(found) for _ in range(options.seeds)]).T
        mean, reach = interval(ours - theirs)
        within = abs(mean) + reach < MARGIN
        equivalent &= within
        print(
            f"  {name:8} {ours.mean():6.2f} {theirs.mean():6.2f}   "
            f"{mean:+.2f} [{mean - reach:+.2f}, {mean + reach:+.2f}] {'within' if within else 'NOT within'} {MARGIN}; "
            f"losses differ by {drifts.max():.0e} at most"
        )
    return 0 if equivalent else 1


def scores(name: str, seed: int, epochs: int, folder: Path) -> tuple[float, float, float]:
    """Accuracy of ours and of lightly's, and their loss difference; read from an earlier run's file if it exists."""
    run = resolve(
        {
            **SHARED,
            "seed": seed,
            "method": METHODS[name],
            "optimizer": {**SHARED["optimizer"], "lr": 0.5},
            "training": {**SHARED["training"], "epochs": epochs},
            "evaluation": {"knn": {}},
        }
    )
    file = folder / f"{identity(run)[:16]}.json"
    if not file.exists():
        parse(file).write(json.dumps({"run": run.dump(), "scores": trained_side_by_side(run)}, indent=1))
    return tuple(json.loads(file.read_text(encoding="utf-8"))["scores"])


def trained_side_by_side(run: RunConfig) -> tuple[float, float, float]:
    """Train both; return our accuracy, lightly's, and the largest relative difference of their losses."""
    data, device = assembly.load_data(run), hardware.device()
    with hardware.arithmetic(run.training.threads, device):
        training = assembly.training(run, data, device)
        in_float64(training.objective)
        pipeline = planning.pipeline(run, training.objective.plan, data.card)
        method = PEERS[run.method.name](deepcopy(training.objective.method)).to(device)
        optimizer = optimizer_of(run, method)
        peak = groups.peak_rate(run.optimizer, run.training.batch_size)
        drift = 0.0
        for step, epoch, rows in batches(training):
            views = pipeline(training.images.batch(rows), rows, epoch)
            optimizer.zero_grad()
            theirs = method(views["first"].images, views["second"].images, step, training.steps)
            theirs.backward()
            groups.set_rate(optimizer, peak, groups.rate_factor(step + 1, steps=training.steps, warmup_steps=0))
            optimizer.step()
            ours = training.train_step(rows, epoch).total
            drift = max(drift, float((ours - theirs).detach().abs() / theirs.detach().abs()))
        (knn,) = planning.metrics(run)
        encoders = (training.objective.encoder, method.encoder)
        card = data.card
        ours, theirs = (knn(encoder_features(one, card.mean, card.std), data.splits)[METRIC] for one in encoders)
        return ours, theirs, drift


def in_float64(objective: nn.Module) -> None:
    """Make a module compute in float64; its views stay float32 and are converted."""
    objective.double()
    for module in objective.modules():
        if isinstance(module, Encoder):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))


def batches(training: loop.Training) -> Iterator[tuple[int, int, Tensor]]:
    """Yield step (from 0), epoch (from 1) and rows of each batch, in the training loop's order."""
    size = training.run.training.batch_size
    for step in range(training.steps):
        epoch, place = divmod(step, training.epoch_steps)
        order = draws.permutation(training.run.seed, epoch + 1, len(training.images)).to(training.device)
        yield step, epoch + 1, order[place * size : (place + 1) * size]


def optimizer_of(run: RunConfig, method: nn.Module) -> torch.optim.Optimizer:
    """SGD over lightly's module with our settings; SimSiam's predictor keeps a constant learning rate."""
    slow: list[Tensor] = list(method.predictor.parameters()) if run.method.name == "simsiam" else []
    kept = {id(parameter) for parameter in slow}
    rest = [p for p in method.parameters() if p.requires_grad and id(p) not in kept]
    made = [{"params": rest, "lr_schedule": "cosine"}, {"params": slow, "lr_schedule": "constant"}]
    return torch.optim.SGD(made[: 1 + bool(slow)], lr=0.1, momentum=0.9, weight_decay=run.optimizer.weight_decay)


if __name__ == "__main__":
    sys.exit(main())
