"""A sweep against plain Optuna and against Tune with its stock callbacks, on the same training.

    python -m tests.benchmarks.sweep_vs_optuna [--trials 8] [--rounds 1] [--long]

All three train with our loop, search the same space with the same sampler and the same early stopping, and start with
the same settings, whose results are compared epoch by epoch first. Later proposals and early stops differ, so costs are
reported relative to the *work* done: the seconds of loading, augmentation, training and evaluation. Trials take a few
seconds, or about a minute with --long; one at a time, then two.

Optuna writes no checkpoints and uses no tracking server: its cost is the minimum of any search. Targets: an overhead of
under 0.5 s per trial for short trials, under 3 % of the work for those of a minute.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config.run import RunConfig, resolve, with_values
from orchestrator.records.folder import SweepFolder
from orchestrator.search.formatting import columns
from orchestrator.training import assembly
from tests.benchmarks.peers.task import Task, search_with
from tests.benchmarks.sweep_outcome import Outcome, own_trials, peer_trials

ROOT = Path(__file__).parents[2]
CONTESTANTS = ("plain Optuna", "stock Tune", "ours")
METRIC = "val_knn/1"
SPACE = {"augment.strength": (0.2, 1.5), "optimizer.lr": (0.02, 0.5)}
FIRST = {"augment.strength": 1.0, "optimizer.lr": 0.1}
STARTUP = 4  # random trials before the sampler uses its model


@dataclass(frozen=True)
class Size:
    """The size of a trial: a few seconds, or about a minute, on one core."""

    epochs: int
    images: int

    @property
    def grace(self) -> int:
        """The first epoch after which trials are stopped."""
        return self.epochs // 3

    @property
    def run(self) -> RunConfig:
        """The run that all trials share."""
        ops = {"weak": {"crop": {}, "flip": {}}, "aggressive": {"color_jitter": {}, "grayscale": {}}}
        return resolve(
            {
                "dataset": {"name": "synthetic", "size": 32, "train_size": self.images, "validation_size": 256},
                "augment": {"recipes": ops},
                "method": {"name": "simclr"},
                "encoder": {"name": "resnet", "depth": 8, "stem": "strided"},
                "optimizer": {"lr": 0.1},
                "training": {"epochs": self.epochs, "batch_size": 128},
                "evaluation": {"knn": {}},
            }
        )


SHORT, LONG = Size(epochs=3, images=640), Size(epochs=12, images=9600)


@dataclass(frozen=True)
class Objective:
    """A training as a function of its searched settings; it logs each epoch and its end."""

    run: RunConfig
    data: assembly.Data
    log: Path

    def __call__(self, params: Mapping[str, float], report: Callable[[dict[str, Any], dict], None]) -> None:
        run = resolve(with_values(self.run.dump(), dict(params)))
        assembly.train(run, self.data, _Outside(dict(params), report, self.log))


class _Outside:
    """The training loop's context in a peer's search."""

    def __init__(self, params: dict[str, float], report: Callable[[dict[str, Any], dict], None], log: Path) -> None:
        self._trial, self._params, self._send, self._log = uuid.uuid4().hex, params, report, log
        self._state: dict = {}

    def report(self, metrics: dict[str, float]) -> None:
        line = {"trial": self._trial, "params": self._params, "ended": time.time(), "report": metrics}
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._send(dict(metrics), self._state)

    def save_checkpoint(self, state: dict) -> None:
        self._state = state

    def load_checkpoint(self) -> None:
        return None

    def export(self, encoder_state: dict, card: dict) -> None:
        """Does nothing: only our own sweeps export encoders."""


def peer(name: str, size: Size, trials: int, at_a_time: int, folder: Path) -> None:
    """Run a peer's search; called in a separate process."""
    objective = Objective(size.run, assembly.load_data(size.run), folder / "epochs.jsonl")
    task = Task(
        objective=objective,
        space=SPACE,
        first=FIRST,
        metric=METRIC,
        trials=trials,
        at_a_time=at_a_time,
        epochs=size.epochs,
        grace=size.grace,
        startup=STARTUP,
        folder=folder,
    )
    search_with(name, task)


def write_study(size: Size, trials: int, at_a_time: int, file: Path) -> None:
    """Write the same search as one of our sweep files."""
    sweep = {
        "trials": trials,
        "metric": METRIC,
        "sampler": {"name": "tpe", "startup": STARTUP},
        "scheduler": {"name": "asha", "grace": size.grace / size.epochs, "reduction": 2},
        "concurrency": at_a_time,
        "enqueue": [FIRST],
    }
    search = {path: {"uniform": list(bounds)} for path, bounds in SPACE.items()}
    file.write_text(yaml.safe_dump({"sweep": sweep, "run": size.run.dump(), "search": search}), encoding="utf-8")


def search(name: str, size: Size, at_a_time: int, trials: int) -> Outcome:
    """Run one contestant's whole search, from its command to the prompt."""
    with tempfile.TemporaryDirectory(prefix="searched-") as scratch:
        folder = Path(scratch)
        if name == "ours":
            write_study(size, trials, at_a_time, folder / "study.yaml")
            command = ["orchestrator.sweep", str(folder / "study.yaml"), "--quiet", "--storage", scratch]
            command += ["--tracking-uri", f"sqlite:///{scratch}/mlflow.db"]
        else:
            command = ["tests.benchmarks.sweep_vs_optuna", *sys.argv[1:], "--alone", name, str(at_a_time), scratch]
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, **quiet},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ended = time.time()
        assert done.returncode == 0, done.stdout
        if name == "ours":
            return Outcome(own_trials(SweepFolder(folder / "study"), tuple(SPACE)), at_a_time, began, ended)
        return Outcome(peer_trials(folder / "epochs.jsonl"), at_a_time, began, ended)


def compare(outcomes: Mapping[str, Outcome], trials: int) -> str:
    """Check that all ran the same number of trials and that the first trials have equal results; return a summary.

    Raises:
        AssertionError: The searches differ.
    """
    firsts = {}
    for name, outcome in outcomes.items():
        assert len(outcome.trials) == trials, f"{name} ran {len(outcome.trials)} trials"
        (first,) = [trial for trial in outcome.trials if trial.params == FIRST]
        firsts[name] = [{k: v for k, v in report.items() if not k.startswith("time/")} for report in first.reports]
    epochs = min(
        map(len, firsts.values())
    )  # with two trials at a time, one search may stop its first trial earlier than another
    expected = firsts["plain Optuna"][:epochs]
    assert all(reports[:epochs] == expected for reports in firsts.values()), firsts
    last = expected[-1]
    return f"the first trial is the same to the last bit: {METRIC} {last[METRIC]:.6g}, loss {last['loss']:.6g}"


def table(outcomes: Mapping[str, list[Outcome]]) -> list[list[str]]:
    """Medians over each contestant's rounds, and its cost per epoch relative to plain Optuna's."""
    fields = ("wall", "to_first_step", "to_prompt", "work", "beyond")
    head = ["", "wall s", "to 1st step", "to prompt", "work/trial", "overhead/trial", "of work", "trials", "epochs"]
    rows = [[*head, "best", "wall/epoch", "ratio"]]
    costs = {name: statistics.median(one.wall / one.epochs for one in own) for name, own in outcomes.items()}
    for name, own in outcomes.items():
        seconds = [f"{statistics.median(getattr(one, field) for one in own):.2f}" for field in fields]
        share = f"{100 * statistics.median(one.beyond / one.work for one in own):.1f} %"
        done = [str(len(own[0].trials)), "/".join(str(one.epochs) for one in own)]
        best = max(trial.reports[-1][METRIC] for one in own for trial in one.trials if trial.reports[-1]["finished"])
        cost = [f"{costs[name]:.2f}", f"{costs[name] / costs['plain Optuna']:.2f}"]
        rows.append([name, *seconds, share, *done, f"{best:.2f}", *cost])
    return rows


def main() -> None:
    """Runs the searches, compares them, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, help="number of trials per search, even (default: 8, with --long 4)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all three, each in reverse order of the last")
    parser.add_argument("--long", action="store_true", help="trials of about a minute")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)  # contestant, trials at a time, folder
    arguments = parser.parse_args()
    size, trials = LONG if arguments.long else SHORT, arguments.trials or (4 if arguments.long else 8)
    if arguments.alone:
        name, at_a_time, folder = arguments.alone
        peer(name, size, trials, int(at_a_time), Path(folder))
        return
    for at_a_time in (1, 2):
        outcomes: dict[str, list[Outcome]] = {name: [] for name in CONTESTANTS}
        for number in range(arguments.rounds):
            for name in CONTESTANTS[:: -1 if number % 2 else 1]:
                outcomes[name].append(search(name, size, at_a_time, trials))
        *_, same = (
            compare(dict(zip(outcomes, one, strict=True)), trials) for one in zip(*outcomes.values(), strict=True)
        )
        sys.stdout.write(f"{at_a_time} at a time; {same}\n{columns(table(outcomes))}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
