"""A sweep folder with invented numbers, for tests of what reads one."""

import math
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config.run import resolve
from orchestrator.records.folder import SweepFolder, TrialFolder

EPOCHS = 6
METRIC = "val_knn/1"
RUN: dict[str, Any] = {
    "seed": 7,
    "dataset": {"name": "synthetic", "size": 16, "train_size": 64, "validation_size": 32, "test_size": 96},
    "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}}}},
    "method": {"name": "simclr"},
    "addons": {"msr": {"base_weight": 0.4, "schedule": "cosine"}},
    "encoder": {"name": "resnet", "depth": 8, "width": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"epochs": EPOCHS, "batch_size": 32},
    "evaluation": {"knn": {"every": 1}, "linear": {}},
}
SEARCH = {"addons.msr.base_weight": {"uniform": [0.0, 0.6]}, "optimizer.lr": {"log_uniform": [0.01, 1.0]}}


def invent(path: Path, *, trials: int) -> SweepFolder:
    """A sweep of so many trials to come, none of them begun."""
    folder = SweepFolder(path)
    run = resolve(RUN).dump()
    sweep = {"name": path.name, "trials": trials, "metric": METRIC, "mode": "max"}
    folder.path.mkdir(parents=True)
    folder.file.write_text(yaml.safe_dump({"sweep": sweep, "run": run, "search": SEARCH}), encoding="utf-8")
    return folder


def begin(folder: SweepFolder, number: int) -> TrialFolder:
    """A trial that runs and has reported nothing."""
    run = resolve(RUN | {"optimizer": {"name": "sgd", "lr": 0.1 * (number + 1)}}).dump()
    trial = folder.trial(number)
    trial.write_config({"sweep": {"name": f"{folder.name}-{number}"}, "run": run, "search": {}})
    return trial


def report(trial: TrialFolder, *epochs: int) -> None:
    """Some epochs of a trial, with values that tell trial and epoch."""
    for epoch in epochs:
        accuracy = 20 + 50 * (1 - math.exp(-epoch * (trial.number + 1) / 6))
        trial.append_report(
            {
                "epoch": float(epoch),
                "finished": float(epoch == EPOCHS),
                "loss": 4 / (epoch + trial.number),
                METRIC: accuracy,
                "images_per_second": 1000.0 + trial.number,
                "time/epoch": 10.0 + trial.number,
            }
        )


def end(trial: TrialFolder, state: str, reason: str | None = None) -> None:
    """The end of a trial; a finished one leaves an encoder."""
    last = trial.reports()[-1]
    if state == "finished":
        trial.encoder_weights.write_bytes(b"\0" * 1000)
        trial.encoder_card.write_text('{"name": "resnet"}', encoding="utf-8")
    trial.write_result({"state": state, "reason": reason, "epoch": last["epoch"], "value": last[METRIC]})
