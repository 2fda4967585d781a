"""Do the three papers' claims hold on fashion_scenes? Equal budgets, equal search effort, paired new seeds.

python -m tests.benchmarks.paper_studies msr            BYOL against BYOL with MSR, its weight fixed or decaying
python -m tests.benchmarks.paper_studies augself        SimSiam against SimSiam with AugSelf, also on a colour task
python -m tests.benchmarks.paper_studies background     MoCo v2 against MoCo v2 with BG_RM and with BG_Swaps

Every arm tries the same learning rates with seed 0, keeps the one with the best validation score, and is then
trained again with new seeds, the same for all arms. Prints means, paired differences to the first arm with 95 %
intervals (Student's t over seeds), and the smallest difference that such an interval would distinguish from zero.
Needs neither Ray nor MLflow; the output folder keeps every run, and the same command resumes after an interruption.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchestrator.config.run import RunConfig, identity, resolve
from orchestrator.core import hardware
from orchestrator.data.images import ImageSet
from orchestrator.probing.features import Encode, encoder_features
from orchestrator.storage.path import parse
from orchestrator.training import assembly
from orchestrator.training.parts import Data
from tests.benchmarks.paired import difference

Changes = dict[str, Any]
GAP = "background_gap/1"
COLOUR = "colour R2"

SHARED: dict[str, Any] = {
    "dataset": {"name": "fashion_scenes", "rho": 0.5, "train_size": 8000, "validation_size": 2000, "test_size": 2000},
    "augment": {
        "recipes": {
            "weak": {"crop": {"scale": [0.4, 1.0]}, "flip": {"p": 0.5}},
            "aggressive": {
                "color_jitter": {"brightness": 0.6, "contrast": 0.6, "saturation": 0.6, "hue": 0.15, "p": 0.8},
                "grayscale": {"p": 0.3},
            },
        }
    },
    "encoder": {"name": "resnet", "depth": 8, "stem": "imagenet"},
    "optimizer": {"name": "sgd", "lr": 1.0, "weight_decay": 5.0e-4},
    "training": {"batch_size": 64},
    "evaluation": {"knn": {}, "linear": {}, "collapse": {}},
}


@dataclass(frozen=True)
class PaperStudy:
    """One paper's claim.

    Args:
        method: Method of all arms.
        arms: Add-ons of each arm; the others are compared with the first.
        metrics: Metrics to report; the first one selects the learning rate.
        evaluation: Evaluations in addition to the shared ones.
        rates: Learning rates that every arm searches.
    """

    method: Changes
    arms: Mapping[str, Changes]
    metrics: Sequence[str]
    evaluation: Changes
    rates: Sequence[float]


STUDIES = {
    "msr": PaperStudy(
        {"name": "byol", "momentum": 0.96, "hidden": 512, "outputs": 128},
        {
            "BYOL": {},
            "MSR, weight 0.4": {"msr": {"base_weight": 0.4, "schedule": "constant"}},
            "MSR, 0.4 decaying": {"msr": {"base_weight": 0.4, "schedule": "cosine"}},
        },
        ("val_knn/1", "linear_val/2"),
        {},
        (0.5, 1.0),
    ),
    "augself": PaperStudy(
        {"name": "simsiam", "outputs": 512, "bottleneck": 128},
        {
            "SimSiam": {},
            "AugSelf": {"augself": {"crop": 1.0, "color_jitter": 1.0}},
        },
        ("linear_val/2", "val_knn/1", COLOUR),
        {},
        (0.5, 1.0),
    ),
    "background": PaperStudy(
        {"name": "moco_v2", "momentum": 0.99, "queue_size": 4096},
        {
            "MoCo v2": {},
            "BG_RM": {"background": {"kind": "remove", "p_query": 0.2, "p_key": 0.2, "p_negative": 0.2}},
            "BG_Swaps": {"background": {"kind": "swap", "p_query": 0.2, "p_key": 0.2, "p_negative": 0.2}},
        },
        ("val_knn/1", "linear_val/2", GAP, f"{GAP}/mixed_rand"),
        {"background_gap": {}},
        (0.25, 0.5),
    ),
}


def main() -> int:
    """Trains missing runs, then prints the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", choices=list(STUDIES))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("studies"))
    options = parser.parse_args()
    study = STUDIES[options.claim]
    folder = options.out / options.claim
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:

        def scores(settings: Sequence[tuple[str, float, int]]) -> list[dict[str, float]]:
            runs = [run_of(study, arm, rate, seed, options.epochs) for arm, rate, seed in settings]
            return pool.starmap(scores_of, [(run, folder) for run in runs], chunksize=1)

        tried = [(arm, rate, 0) for arm in study.arms for rate in study.rates]
        found = dict(zip(tried, scores(tried), strict=True))
        chosen = {arm: max(study.rates, key=lambda rate: found[arm, rate, 0][study.metrics[0]]) for arm in study.arms}
        seeds = range(1, options.seeds + 1)
        confirmed = scores([(arm, chosen[arm], seed) for arm in study.arms for seed in seeds])
    print(f"{options.claim}: {options.epochs} epochs, seeds {list(seeds)}; each arm tried learning rates {study.rates}")
    print_arms(study, chosen, {arm: confirmed[i * len(seeds) :][: len(seeds)] for i, arm in enumerate(study.arms)})
    return 0


def run_of(study: PaperStudy, arm: str, rate: float, seed: int, epochs: int) -> dict[str, Any]:
    """The settings of one run."""
    return {
        **SHARED,
        "seed": seed,
        "method": study.method,
        "addons": study.arms[arm],
        "optimizer": {**SHARED["optimizer"], "lr": rate},
        "training": {**SHARED["training"], "epochs": epochs},
        "evaluation": {**SHARED["evaluation"], **study.evaluation},
    }


def scores_of(settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """Final scores of a run; read from its file if it has been trained before."""
    run = resolve(settings)
    file = folder / f"{identity(run)[:16]}.json"
    if not file.exists():
        data = assembly.load_data(run)
        scores = Scores(run, data)
        assembly.train(run, data, scores)
        parse(file).write(json.dumps({"run": run.dump(), "scores": scores.last}, indent=1))
    return json.loads(file.read_text(encoding="utf-8"))["scores"]


class Scores:
    """A training context that keeps the last metrics and measures how well the encoder predicts colours."""

    def __init__(self, run: RunConfig, data: Data) -> None:
        self._run, self._data = run, data
        self.last: dict[str, float] = {}

    def report(self, metrics: dict[str, float]) -> None:
        self.last |= metrics

    def save_checkpoint(self, state: dict) -> None:
        """Does nothing: runs are short, and an interrupted one starts again."""

    def load_checkpoint(self) -> None:
        """Returns no checkpoint."""

    def export(self, encoder_state: dict, card: dict) -> None:
        encoder = assembly.encoder(self._run).to(hardware.device())
        encoder.load_state_dict(encoder_state)
        encode = encoder_features(encoder, self._data.card.mean, self._data.card.std)
        self.last[COLOUR] = 100 * colour_r2(encode, self._data.splits)


def colour_r2(encode: Encode, splits: Mapping[str, ImageSet]) -> float:
    """How well a linear map of frozen features predicts an image's mean colour: R2 on validation images, at most 1.

    Ridge regression on standardised features, fitted on the bank; the mean of red, green and blue.
    """
    fit, check = (_colours(splits[name]) for name in ("bank", "validation"))
    features, queries = encode(splits["bank"].images).double(), encode(splits["validation"].images).double()
    centre, spread = features.mean(0), features.std(0) + 1e-6
    features, queries = (features - centre) / spread, (queries - centre) / spread
    gram = features.T @ features + 1e-3 * len(features) * torch.eye(features.shape[1], dtype=features.dtype)
    weights = torch.linalg.solve(gram, features.T @ (fit - fit.mean(0)))
    missed = (check - fit.mean(0) - queries @ weights).square().sum(0)
    return float((1 - missed / (check - check.mean(0)).square().sum(0)).mean())


def _colours(images: ImageSet) -> Tensor:
    return torch.from_numpy(images.images.mean((1, 2))).double()


def print_arms(study: PaperStudy, chosen: Mapping[str, float], scores: Mapping[str, Sequence[Mapping]]) -> None:
    """Print means over seeds, and each arm's paired difference to the first."""
    for metric in study.metrics:
        values = {arm: np.array([one[metric] for one in many]) for arm, many in scores.items()}
        first = next(iter(values))
        print(f"\n{metric}: mean (sd); mean paired difference to {first} [95 % interval], smallest detectable")
        for arm, own in values.items():
            line = f"  {arm:22} lr {chosen[arm]:<4g} {own.mean():6.2f} ({own.std(ddof=1):.2f})"
            print(line if arm == first else f"{line}   {difference(own - values[first])}")


if __name__ == "__main__":
    sys.exit(main())
