"""Do our methods learn as lightly's do? Same views, initial weights, optimiser and seeds; only the method differs.

python -m tests.benchmarks.lightly_parity                       all five methods
python -m tests.benchmarks.lightly_parity simclr swav --epochs 3

The losses of the first batch are compared first. Then both train; printed are the kNN accuracy on validation data
(`val_knn/1`) of both, and the paired difference with its 95 % interval, which has to lie within 1.5 points. Runs that
differ in the last digit of a sum drift apart within a hundred steps, so it takes several seeds. Needs neither Ray nor
MLflow; every run is kept in the output folder.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment import draws
from augment.views import Batch
from orchestrator import build
from orchestrator.features import encoder_features
from orchestrator.folder import write_text
from orchestrator.spec.config import RunConfig, identity, resolve
from orchestrator.training import hardware, loop, optimizers
from tests.benchmarks.paired import interval
from tests.benchmarks.paper_studies import SHARED, Scores
from tests.benchmarks.peers import lightly_methods as lightly

METRIC, MARGIN = "val_knn/1", 1.5
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"name": "simclr", "temperature": 0.1, "projector_hidden": 256},
    "moco_v2": {"name": "moco_v2", "momentum": 0.99, "queue_size": 2048, "projector_hidden": 256},
    "byol": {"name": "byol", "hidden": 256},
    "simsiam": {"name": "simsiam", "outputs": 256, "bottleneck": 64},
    "swav": {"name": "swav", "projector_hidden": 256, "freeze": 0.0},
}
# The networks of ours, before their first step, in lightly's hands.
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
    """Trains what is missing, prints, and tells by its exit code whether all intervals lie within the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", choices=[[], *METHODS], default=[])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("studies/lightly"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.methods or list(METHODS)
    jobs = [
        (name, seed, options.epochs, peer, options.out)
        for name in names
        for seed in range(1, options.seeds + 1)
        for peer in (False, True)
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = iter(pool.starmap(score, jobs, chunksize=1))
    print(f"{METRIC}, {options.epochs} epochs, {options.seeds} seeds: ours, lightly's, difference [95 % interval]")
    equivalent = True
    for name in names:
        pairs = np.array([[next(found), next(found)] for _ in range(options.seeds)])
        mean, reach = interval(pairs[:, 0] - pairs[:, 1])
        within = abs(mean) + reach < MARGIN
        equivalent &= within
        print(
            f"  {name:8} {pairs[:, 0].mean():6.2f} {pairs[:, 1].mean():6.2f}   {mean:+.2f} "
            f"[{mean - reach:+.2f}, {mean + reach:+.2f}]  {'within' if within else 'NOT within'} {MARGIN}"
        )
    return 0 if equivalent else 1


def score(name: str, seed: int, epochs: int, peer: bool, folder: Path) -> float:
    """The last accuracy of one run, from its file where it has been made before."""
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
    file = folder / f"{identity(run)[:16]}-{'lightly' if peer else 'ours'}.json"
    if not file.exists():
        last = trained_by_lightly(run) if peer else trained_by_us(run)
        write_text(file, json.dumps({"run": run.dump(), METRIC: last}, indent=1))
    return json.loads(file.read_text(encoding="utf-8"))[METRIC]


def trained_by_us(run: RunConfig) -> float:
    """Through the loop that trains every trial."""
    data = build.load_data(run)
    scores = Scores(run, data)
    loop.train(run, data, scores)
    return scores.last[METRIC]


def trained_by_lightly(run: RunConfig) -> float:
    """The same batches, views and rates, with lightly's loss, twin, queue and prototypes."""
    data, device = build.load_data(run), hardware.device()
    objective = build.objective(run).to(device)
    pipeline = build.pipeline(run, objective.plan, data.card)
    with hardware.arithmetic(run.training.threads, device):
        method = PEERS[run.method.name](deepcopy(objective.method)).to(device)
        optimizer = optimizer_of(run, method)
        source = torch.from_dlpack(data.splits["train"].images).to(device)
        size = run.training.batch_size
        steps_per_epoch = len(source) // size
        steps = run.training.epochs * steps_per_epoch
        peak = optimizers.peak_rate(run.optimizer, size)
        for step in range(steps):
            epoch, place = divmod(step, steps_per_epoch)
            order = draws.permutation(run.seed, epoch + 1, len(source)).to(device)
            rows = order[place * size : (place + 1) * size]
            views = pipeline(Batch(source[rows].permute(0, 3, 1, 2).float() / 255), rows, epoch + 1)
            optimizer.zero_grad()
            loss = method(views["first"].images, views["second"].images, step, steps)
            if step == 0:
                torch.testing.assert_close(loss, objective(views, None, loss.new_tensor(1 / steps)).total)
            loss.backward()
            optimizers.set_rate(optimizer, peak, optimizers.rate_factor(step + 1, steps=steps, warmup_steps=0))
            optimizer.step()
        encode = encoder_features(method.encoder, data.card.mean, data.card.std)
        (knn,) = build.evaluations(run)
        return knn(encode, data.splits)[METRIC]


def optimizer_of(run: RunConfig, method: nn.Module) -> torch.optim.Optimizer:
    """SGD over lightly's module: everything alike, but for SimSiam's predictor, whose rate stays."""
    slow: list[Tensor] = list(method.predictor.parameters()) if run.method.name == "simsiam" else []
    kept = {id(parameter) for parameter in slow}
    rest = [p for p in method.parameters() if p.requires_grad and id(p) not in kept]
    made = [{"params": rest, "lr_schedule": "cosine"}, {"params": slow, "lr_schedule": "constant"}]
    return torch.optim.SGD(made[: 1 + bool(slow)], lr=0.1, momentum=0.9, weight_decay=run.optimizer.weight_decay)


if __name__ == "__main__":
    sys.exit(main())
