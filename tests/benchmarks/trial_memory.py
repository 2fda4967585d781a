"""Private and shared memory of a trial: `python -m tests.benchmarks.trial_memory`.

Runs sweeps of 1, 2 and 4 concurrent trials over a data set of about 150 MB including masks, and one trial with almost
no data. (own MB - own MB without data) / MB of data is an upper bound on the number of copies of the data in a trial;
it includes features and the cosines of neighbours.
Ray is configured with one core per trial, so that trials run concurrently, if slower, on a smaller machine.

    --set run.addons.background='{kind: random}'    or any other `--set` of the sweep command

Own is anonymous memory, without mapped files. Trials forked from one process share the pages of its imports; PSS
divides shared pages by the number of processes that share them. Private memory is not shared with any process. Each
figure is the peak of its process, sampled every 0.2 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import yaml

from orchestrator.search.formatting import columns
from tests.benchmarks.memory import Peak, Tree, watch

ROOT = Path(__file__).parents[2]
SIDE = 32
TRIAL = "ImplicitFunc.train"  # title that Ray gives to a process in which Tune runs a function


def study(images: int, trials: int) -> dict:
    """A study of short trials that read every image once, for training and for kNN."""
    return {
        "sweep": {"name": "memory", "trials": trials, "concurrency": trials, "metric": "val_knn/1"}
        | {"sampler": {"name": "random"}, "scheduler": {"name": "none"}},
        "run": {
            "dataset": {"name": "synthetic", "size": SIDE, "train_size": images, "validation_size": 256},
            "augment": {"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": {"grayscale": {}}}},
            "method": {"name": "simclr"},
            "encoder": {"name": "resnet", "depth": 8, "stem": "strided", "width": 0.5},
            "optimizer": {"lr": 0.1},
            "training": {"epochs": 1, "batch_size": 128},
            "evaluation": {"knn": {}},
        },
        "search": {"optimizer.lr": {"uniform": [0.05, 0.1]}},
    }


def run(images: int, trials: int, sets: Sequence[str]) -> Tree:
    """Run a whole sweep and sample its memory."""
    with tempfile.TemporaryDirectory(prefix="memory-") as scratch:
        file = Path(scratch) / "study.yaml"
        file.write_text(yaml.safe_dump(study(images, trials)), encoding="utf-8")
        command = [sys.executable, "-m", "orchestrator.sweep", str(file), "--quiet", "--storage", scratch]
        command += ["--tracking-uri", f"sqlite:///{scratch}/mlflow.db", *(f"--set={change}" for change in sets)]
        cores = {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": trials})}
        with (Path(scratch) / "output.txt").open("w+b") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **cores}, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                tree = watch(process)
            finally:
                process.terminate()
            assert process.returncode == 0, (Path(scratch) / "output.txt").read_text()
    return tree


def workers(tree: Tree, trials: int) -> list[Peak]:
    """The processes that trained, without their short-lived forks, which have the same name and share all memory."""
    named = sorted((peak for peak in tree.others if peak.is_named(TRIAL)), key=lambda peak: -peak.pss)
    assert len(named) >= trials, [peak.names for peak in tree.others]
    return named[:trials]


def row(images: int, trials: int, tree: Tree, without_data: float | None) -> list[str]:
    """The table's row for one sweep."""
    at_work = workers(tree, trials)
    own, data = mean(peak.anonymous for peak in at_work), images * SIDE * SIDE * 4 / 1e6  # with its mask
    rest = sum(peak.pss for peak in tree.others if peak not in at_work)
    growth = "-" if without_data is None else f"{(own - without_data) / data:.2f}"
    return [
        f"{data:.0f}",
        str(trials),
        f"{own:.0f}",
        growth,
        f"{mean(peak.shared_store for peak in at_work):.0f}",
        f"{mean(peak.pss for peak in at_work):.0f}",
        f"{mean(peak.rss for peak in at_work):.0f}",
        f"{tree.root.private:.0f}",
        f"{rest:.0f}",
        f"{tree.pss:.0f}",
    ]


def main() -> None:
    """Runs the sweeps and prints their memory in MB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=36_000)
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4], help="numbers of concurrent trials")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the study")
    arguments = parser.parse_args()
    small = run(256, 1, arguments.set)
    (alone,) = workers(small, 1)
    head = ["data MB", "trials", "own/trial", "growth/data", "shared data", "PSS/trial", "RSS/trial"]
    rows = [[*head, "driver private", "Ray's own PSS", "all PSS"], row(256, 1, small, None)]
    rows += [
        row(arguments.images, n, run(arguments.images, n, arguments.set), alone.anonymous) for n in arguments.trials
    ]
    sys.stdout.write(f"{columns(rows)}\n")


if __name__ == "__main__":
    main()
