"""Overhead of a sweep beyond training: `python -m tests.benchmarks.sweep_overhead [FILE] [ARGUMENTS OF THE SWEEP]`.

Runs the sweep in a fresh folder, by default `smoke.yaml` with six trials, and prints the phases before the first
step, the overhead of a trial beyond its loop, and the time after the last trial. `... search_spaces/smoke.yaml --set
sweep.workers=2 --set sweep.concurrency=1` prints the same for trials with two workers.

Targets: 10 s from command to first step; 0.5 s overhead per trial, 10 s per trial with several workers.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from orchestrator.config import yaml_file
from orchestrator.records.folder import SweepFolder, TrialFolder

ROOT = Path(__file__).parents[2]
# Output that marks the end of each start-up phase, and the phase.
MARKERS = {
    "decoding the data": "the study is read, and the libraries are imported",
    "starting Ray": "the data are decoded",
    "starting the first trials": "Ray is up",
    " starts ": "the first worker is ready",
}


def main() -> None:
    """Runs the sweep and prints where its time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sweep", nargs=argparse.REMAINDER, metavar="FILE [ARGUMENTS]", help="arguments of the sweep command"
    )
    file, *arguments = parser.parse_args().sweep or ["search_spaces/smoke.yaml", "--trials", "6"]
    with tempfile.TemporaryDirectory() as scratch:
        places = ["--storage", scratch, "--tracking-uri", f"sqlite:///{scratch}/mlflow.db"]
        began = time.time()
        seen = _run([str(Path(file).absolute()), *places, *arguments])
        ended = time.time()
        (sweep,) = Path(scratch).glob("*/sweep.yaml")
        folder = SweepFolder(sweep.parent)
        sys.stdout.write(f"\n{file}: seconds since the command started\n")
        for moment, name in _timeline(folder, began, seen, ended):
            sys.stdout.write(f"{moment - began:8.2f}  {name}\n")
        sys.stdout.write("\nseconds\n")
        for seconds, name in _costs(folder, ended - began):
            sys.stdout.write(f"{seconds:8.2f}  {name}\n")


def _run(arguments: Sequence[str]) -> dict[str, float]:
    """Runs the command and returns when it first printed each text in `MARKERS`."""
    seen: dict[str, float] = {}
    command = [sys.executable, "-m", "orchestrator.sweep", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            for words in MARKERS:
                if words in line:
                    seen.setdefault(words, time.time())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seen


def _timeline(folder: SweepFolder, began: float, seen: dict[str, float], ended: float) -> Iterator[tuple[float, str]]:
    yield began, "the command"
    yield from ((seen[words], name) for words, name in MARKERS.items())
    trials = folder.trials()
    yield min(_first_step(trial) for trial in trials), "the first step begins"
    yield max(_end(trial) for trial in trials), "the last trial is over"
    yield ended, "the prompt"


def _costs(folder: SweepFolder, wall: float) -> Iterator[tuple[float, str]]:
    sweep, trials = yaml_file.reread(folder.file.read_text(encoding="utf-8"))["sweep"], folder.trials()
    # The next trial reuses the actor, unless the trial has several workers, which exit with it.
    started = sweep["concurrency"] if sweep["workers"] == 1 else len(trials)
    for some, whose in ((trials[:started], "that starts its worker"), (trials[started:], "that reuses its worker")):
        if some:
            cost = median(_end(trial) - _handed_out(trial) - _loop_seconds(trial) for trial in some)
            yield (
                cost,
                f"overhead of a trial {whose}, from its start to its end without its loop (median of {len(some)})",
            )
    loops = sum(_loop_seconds(trial) for trial in trials)
    yield loops, "in the loops of all trials"
    yield wall, f"wall time, {wall / loops:.2f} times the loops"


def _handed_out(trial: TrialFolder) -> float:
    return trial.config_file.modified() / 1e9


def _end(trial: TrialFolder) -> float:
    return trial.result_file.modified() / 1e9


def _first_step(trial: TrialFolder) -> float:
    """Start of the first epoch, computed backwards from the end of the trial."""
    return _end(trial) - _loop_seconds(trial)


def _loop_seconds(trial: TrialFolder) -> float:
    return sum(report["time/epoch"] for report in trial.reports())


if __name__ == "__main__":
    main()
