"""`python -m tests.drill.kills`: kills the driver 20 times, four at each of five moments, and resumes the sweep.

Prints seeds and moments; a seed reproduces a failure as far as the machine's timing is reproducible. The exit code is 0
if every resumed sweep ends cleanly and all its numbers equal those of an undisturbed sweep, otherwise 1.
"""

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.records.folder import TrialFolder
from tests.drill import checks, services, watch
from tests.drill.checks import Problems
from tests.orchestrator.command import Command, descendants

TRIALS, EPOCHS, PER_MOMENT = 3, 4, 4
STUDY = {
    "sweep.trials": TRIALS,
    "sweep.scheduler": {"name": "none"},
    "run.training.epochs": EPOCHS,
    "run.optimizer.warmup_epochs": 0,
}
_PATIENCE = 600.0  # seconds for one run of the command
_CREATE_TRIAL = '{"op_code":4,'  # in Optuna's journal


@dataclass(frozen=True)
class Moment:
    """When to kill the driver.

    Args:
        words: Description of the awaited event.
        holds: Whether the event has happened.
        delay: Seconds to wait after the event.
    """

    words: str
    holds: Callable[[], bool]
    delay: float


def start_up(command: Command, draw: random.Random) -> Moment:
    """A moment between the start of the command and the first trial's first epoch."""
    stages: dict[str, Callable[[], bool]] = {
        "the sweep's folder": command.sweep.exists,
        "the study": command.sweep.journal.exists,
        "Ray's start": lambda: "starting Ray" in command.output_so_far(),
        "the first trial's start": lambda: "starting the first trials" in command.output_so_far(),
    }
    stage = draw.choice(list(stages))
    return Moment(f"start-up, {stage}", stages[stage], draw.uniform(0, 1))


def suggestion(command: Command, draw: random.Random) -> Moment:
    """The study has created a trial, which may or may not have its parameters and its file yet."""
    number = draw.randrange(TRIALS)
    journal = command.sweep.journal

    def holds() -> bool:
        return journal.exists() and journal.read_text(encoding="utf-8").count(_CREATE_TRIAL) > number

    return Moment(f"suggestion of trial {number}", holds, draw.uniform(0, 0.02))


def checkpoint_write(command: Command, draw: random.Random) -> Moment:
    """A trial's process, which briefly outlives the driver, is writing a checkpoint."""
    trial, epoch = command.sweep.trial(draw.randrange(TRIALS)), draw.randrange(EPOCHS - 1)

    def holds() -> bool:
        return trial.last_epoch() >= epoch and (_there(trial, "checkpoint-*.tmp-*") or trial.last_epoch() > epoch)

    return Moment(f"checkpoint after epoch {epoch + 1} of trial {trial.number}", holds, draw.uniform(0, 0.003))


def trial_end(command: Command, draw: random.Random) -> Moment:
    """A trial's result is on disk, but MLflow does not have it yet."""
    trial = command.sweep.trial(draw.randrange(TRIALS))
    return Moment(f"end of trial {trial.number}", trial.result_file.exists, draw.uniform(0, 0.03))


def export(command: Command, draw: random.Random) -> Moment:
    """A trial's process is writing the finished encoder."""
    trial = command.sweep.trial(draw.randrange(TRIALS))
    return Moment(f"export of trial {trial.number}", lambda: _there(trial, "encoder.*"), draw.uniform(0, 0.005))


MOMENTS = (start_up, suggestion, checkpoint_write, trial_end, export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kills, resumes and checks sweeps; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill.kills", description=__doc__)
    moments = {choose.__name__: choose for choose in MOMENTS}
    parser.add_argument("only", nargs="*", choices=[*moments, []], help="names of moments (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all moments (default: 0)")
    options = parser.parse_args(arguments)
    kills, bad = 0, 0
    with services.home() as home:
        reference = Command(home / "undisturbed", STUDY, patience=_PATIENCE)
        code, _, errors = reference.run()
        assert code == 0, errors
        for name in options.only or moments:
            for turn in range(PER_MOMENT):
                draw = random.Random(f"{options.seed} {name} {turn}")
                moment, problems = _kill_and_resume(home / f"{name}-{turn}", moments[name], draw, reference)
                kills += 1
                bad += bool(problems)
                sys.stdout.write(f"seed {options.seed}.{turn} {moment}: {'; '.join(problems) or 'resumed cleanly'}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{kills - bad} of {kills} resumed sweeps ended cleanly and equal the undisturbed sweep\n")
    return 1 if bad else 0


def _kill_and_resume(
    folder: Path, choose: Callable[[Command, random.Random], Moment], draw: random.Random, reference: Command
) -> tuple[str, Problems]:
    command = Command(folder, STUDY, patience=_PATIENCE)
    moment = choose(command, draw)
    process = command.start()
    try:
        command.wait_until(moment.holds, glance=0.0005)
        family = descendants(process.pid)
        command.kill_when(moment.holds, moment.delay)
        before = watch.take(command)
        description = f"{moment.words} + {1000 * moment.delay:.1f} ms ({_state(before)})"
        problems = checks.ended(family)
        code, _, errors = command.run()
    except pytest.fail.Exception as error:
        return moment.words, [str(error)]
    finally:
        command.abandon()
    if code != 0:
        problems.append(f"exit code {code}: {errors.strip()}")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    problems += checks.accounted(command, TRIALS) + checks.untouched(command, before)
    return description, problems + checks.equal(command, reference) + checks.mirrored(command, uri)


def _state(before: watch.Snapshot) -> str:
    """Progress of the sweep, in words."""
    going = [f"trial {number} at epoch {epoch}" for number, epoch in before.epochs.items()]
    return ", ".join([f"{len(before.ended)} ended", *going])


def _there(trial: TrialFolder, pattern: str) -> bool:
    return next(iter(trial.path.glob(pattern)), None) is not None


if __name__ == "__main__":
    sys.exit(main())
