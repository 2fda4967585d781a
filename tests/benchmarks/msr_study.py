"""Does MSR's weight matter on fashion_scenes, is the best setting better than none, and do early rungs predict the end?

python -m tests.benchmarks.msr_study rungs sweeps/msr    twelve settings with seed 0, all with the full budget
python -m tests.benchmarks.msr_study seeds sweeps/msr    the best setting of the sweep and three controls, seeds 1, 2, 3

Takes the finished sweep of `search_spaces/msr.yaml` and runs another next to it, without early stopping; after an
interruption the same command resumes. `rungs` prints Kendall's tau of every epoch with the last. `seeds` prints paired
differences with 95 % intervals (Student's t over seeds); it uses new seeds, because the best of many noisy trials is
partly selected for its seed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from orchestrator.config.run import resolve
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.records.leaderboard import Standings
from orchestrator.training.assembly import baselines, load_data
from tests.benchmarks.paired import difference

METRICS = ("val_knn/1", "linear_val/2")
SEEDS = (1, 2, 3)
WEIGHT, SCHEDULE, STRENGTH = "addons.msr.base_weight", "addons.msr.schedule", "augment.strength"
SEARCHED = (WEIGHT, SCHEDULE, "addons.msr.steps", "addons.msr.decay_rate", STRENGTH)
Arm = dict[str, Any]


def arm(weight: float, schedule: str, strength: float = 1.0, **more: Any) -> Arm:
    """One setting as a mapping from searched path to value."""
    return {WEIGHT: weight, SCHEDULE: schedule, STRENGTH: strength} | {f"addons.msr.{k}": v for k, v in more.items()}


CONTROLS = {
    "weight 0": arm(0.0, "constant"),
    "constant 0.4": arm(0.4, "constant"),
    "cosine 0.4": arm(0.4, "cosine"),
}
TWELVE = [
    *CONTROLS.values(),
    arm(0.2, "constant"),
    arm(0.6, "constant"),
    arm(0.2, "cosine"),
    arm(0.6, "cosine"),
    arm(0.4, "linear"),
    arm(0.4, "step", steps=2),
    arm(0.4, "exponential", decay_rate=3.0),
    arm(0.4, "cosine", 0.5),
    arm(0.4, "cosine", 1.5),
]


def main() -> int:
    """Runs missing trials, then prints the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["rungs", "seeds"])
    parser.add_argument("sweep", type=Path, help="folder of the finished sweep of search_spaces/msr.yaml")
    options = parser.parse_args()
    searched = SweepFolder(options.sweep)
    best = best_setting(searched)
    arms = {"best of the sweep": best, **{name: setting for name, setting in CONTROLS.items() if setting != best}}
    entries = [{**setting, "seed": 0} for setting in TWELVE]
    if options.question == "seeds":
        entries = [{**setting, "seed": seed} for seed in SEEDS for setting in arms.values()]

    folder = SweepFolder(searched.path.parent / f"{searched.name}_{options.question}")
    file = folder.path.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(study(searched, folder.name, entries), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "orchestrator.sweep", str(file), "--storage", str(searched.path.parent)]
    code = subprocess.run(command, check=False).returncode
    if code:
        return code
    if options.question == "rungs":
        print_rungs(folder.trials())
    else:
        print(f"\nbest of the sweep: {best}")
        print_arms({name: folder.trials()[place :: len(arms)] for place, name in enumerate(arms)})
    return 0


def best_setting(folder: SweepFolder) -> Arm:
    """The searched settings of a sweep's best trial."""
    run = Standings(folder).history[-1][0].trial.config()["run"]
    msr = run["addons"]["msr"]
    more = {"step": ("steps",), "exponential": ("decay_rate",)}.get(msr["schedule"], ())
    return arm(msr["base_weight"], msr["schedule"], run["augment"]["strength"], **{name: msr[name] for name in more})


def study(folder: SweepFolder, name: str, entries: Sequence[Arm]) -> dict[str, Any]:
    """The sweep's file with the seed as a dimension, the entries as enqueued trials, and no early stopping."""
    tree = yaml.safe_load(folder.file.read_text(encoding="utf-8"))
    tree["sweep"] |= {
        "name": name,
        "trials": len(entries),
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
        "enqueue": list(entries),
    }
    tree["search"] = {"seed": {"choice": [0, *SEEDS]}, **tree["search"]}
    return tree


def scores(trials: Sequence[TrialFolder], metric: str) -> np.ndarray:
    """The last value of a metric in each trial."""
    return np.array([trial.reports()[-1][metric] for trial in trials])


def print_arms(arms: dict[str, Sequence[TrialFolder]]) -> None:
    """Print means over seeds, and each arm's paired difference to every baseline."""
    runs = [trial.config()["run"] for trial in arms["best of the sweep"]]
    floors = [baselines(run, load_data(run)) for run in (resolve(run) for run in runs)]
    for metric in METRICS:
        yardsticks = {name: np.array([floor[name][metric] for floor in floors]) for name in floors[0]}
        if "weight 0" in arms:
            yardsticks["weight 0"] = scores(arms["weight 0"], metric)
        print(f"\n{metric}, {len(SEEDS)} seeds: mean (sd); then mean paired difference [95 % interval], half-width")
        for name, values in {n: v for n, v in yardsticks.items() if n not in arms}.items():
            print(f"  {name:18} {values.mean():6.2f} ({values.std(ddof=1):.2f})")
        for name, trials in arms.items():
            values = scores(trials, metric)
            line = f"  {name:18} {values.mean():6.2f} ({values.std(ddof=1):.2f})"
            for other, floor in yardsticks.items():
                if other != name:
                    line += f"   - {other}: {difference(values - floor)}"
            print(line)


def print_rungs(trials: Sequence[TrialFolder]) -> None:
    """Print Kendall's tau between each epoch's search metric and the last epoch's."""
    curves = np.array([[report["val_knn/1"] for report in trial.reports()] for trial in trials])
    print(f"\nrank agreement with the last epoch, val_knn/1, {len(trials)} settings: Kendall's tau (p)")
    for epoch in range(1, curves.shape[1]):
        tau, p = stats.kendalltau(curves[:, epoch - 1], curves[:, -1])
        print(f"  epoch {epoch:2}  {tau:+.2f} ({p:.3f})")
    print(f"  final values lie between {curves[:, -1].min():.2f} and {curves[:, -1].max():.2f}")


if __name__ == "__main__":
    sys.exit(main())
