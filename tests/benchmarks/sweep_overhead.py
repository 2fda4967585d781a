"""What a sweep costs beyond its training: `python -m tests.benchmarks.sweep_overhead [FILE] [ARGUMENTS OF THE SWEEP]`.

Runs the sweep in a fresh folder and sets its wall time against the time its trials spent in their loops.
Aims: command to first step 10 s warm, 0.5 s per trial beyond its loop.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.folder import SweepFolder, TrialFolder

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Runs the sweep and prints where its time went."""
    file, *arguments = sys.argv[1:] or ["search_spaces/smoke.yaml"]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "orchestrator.sweep", str(Path(file).absolute()), "--storage", scratch]
        began = time.time()
        subprocess.run(
            [*command, "--quiet", "--tracking-uri", f"sqlite:///{scratch}/mlflow.db", *arguments], cwd=ROOT, check=True
        )
        wall = time.time() - began
        (sweep,) = Path(scratch).glob("*/sweep.yaml")
        _tell(SweepFolder(sweep.parent), began, wall)


def _tell(folder: SweepFolder, began: float, wall: float) -> None:
    trials = folder.trials()
    spans = sorted(_span(trial) for trial in trials)
    loops = sum(_loop_seconds(trial) for trial in trials)
    held = sum(end - start for start, end in spans)
    rows = [
        ("command to the first trial's first step", min(_first_step(trial) for trial in trials) - began),
        ("wall time of the sweep", wall),
        ("sum of the trials' loop time", loops),
        ("per trial, from being handed out to its end, beyond its loop", (held - loops) / len(trials)),
        ("from the last trial's end to the prompt", began + wall - max(end for _, end in spans)),
    ]
    for name, seconds in rows:
        sys.stdout.write(f"{seconds:8.2f} s  {name}\n")
    sys.stdout.write(f"{wall / loops:8.2f}    wall time / sum of loop time ({len(trials)} trials)\n")


def _span(trial: TrialFolder) -> tuple[float, float]:
    return trial.config_file.stat().st_mtime, trial.result_file.stat().st_mtime


def _first_step(trial: TrialFolder) -> float:
    """When the first epoch began, counted back from the end of the trial."""
    return _span(trial)[1] - _loop_seconds(trial)


def _loop_seconds(trial: TrialFolder) -> float:
    return sum(report["time/epoch"] for report in trial.reports())


if __name__ == "__main__":
    main()
