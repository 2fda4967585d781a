"""What a user sees of a mistake: one line and exit code 2 from the real command, and nothing heavy was imported."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.studies import with_changes, write_study

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Case:
    """A mistake and the error message it must produce.

    Args:
        expected: part of the one-line message.
        changes: to the tiny study.
        search: instead of the tiny study's.
        text: of the file, instead of a study.
        file: that the command is given.
        arguments: behind it.
    """

    expected: str
    changes: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] | None = None
    text: str = ""
    file: str = "study.yaml"
    arguments: tuple[str, ...] = ()

    def command(self, folder: Path) -> list[str]:
        """Its arguments, once the file is there."""
        folder.mkdir()
        written = write_study(folder, with_changes(self.changes, search=self.search))
        if self.text:
            written.write_text(self.text)
        return [str(folder / self.file), *self.arguments]


WEIGHT = "addons.msr.base_weight"
CASES = {
    "missing file": Case("studi.yaml: no such file; did you mean", file="studi.yaml"),
    "YAML syntax": Case("study.yaml: line 2, column 4: ", text="sweep: {trials: 3\nrun: {}\n"),
    "unknown key": Case("run.training.epoch = 1: unknown key; did you mean epochs?", {"run.training.epoch": 1}),
    "misspelt method": Case("methods has no simcrl; did you mean simclr?", {"run.method.name": "simcrl"}),
    "misspelt op": Case("augment.ops has no crp; did you mean crop?", {"run.augment.recipes.weak.crp": {}}),
    "wrong type": Case("run.training.epochs = many: must be an integer", {"run.training.epochs": "many"}),
    "out of bounds": Case("run.training.epochs = -3: epochs >= 1 must hold", {"run.training.epochs": -3}),
    "path to no field": Case(f"did you mean {WEIGHT}?", search={"addons.msr.base_wieght": {"uniform": [0.0, 0.5]}}),
    "empty range": Case("[0.3, 0.3]: low < high must hold", search={WEIGHT: {"uniform": [0.3, 0.3]}}),
    "log range through zero": Case("low > 0 must hold on a log", search={"optimizer.lr": {"log_uniform": [0.0, 1.0]}}),
    "unknown metric": Case("sweep.metric = val_kn/1: no evaluation of this run", {"sweep.metric": "val_kn/1"}),
    "batch beyond the data": Case("exceeds the 64 training images", {"run.training.batch_size": 65}),
    "condition that never holds": Case(
        "can never hold: run.addons.msr.schedule is fixed to cosine",
        search={WEIGHT: {"uniform": [0.0, 0.5], "when": {"addons.msr.schedule": "step"}}},
    ),
    "unwritable storage": Case("/proc must be writable (", arguments=("--storage", "/proc/sweeps")),
}
DRY_RUN = "dry run of a good file"


def surroundings(code: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each command."""
    home = tmp_path_factory.mktemp("commands")
    cases = {**CASES, DRY_RUN: Case("", arguments=("--dry-run",))}
    commands = [case.command(home / name.replace(" ", "_")) for name, case in cases.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestrator.study.forked_commands", commands[-1][0]],
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        env=surroundings(ROOT),
        check=True,
    )
    return dict(zip(cases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_mistake_is_one_line_and_exit_code_2_and_nothing_heavy_is_imported(outcomes, name):
    outcome = outcomes[name]
    assert (outcome["code"], outcome["out"], outcome["imported"]) == (2, "", [])
    _check_line(outcome["err"], CASES[name].expected)


def test_dry_run_imports_neither_ray_nor_mlflow_nor_optuna(outcomes):
    outcome = outcomes[DRY_RUN]
    assert outcome["code"] == 0, outcome["err"]
    assert not {"ray", "mlflow", "optuna"} & set(outcome["imported"])
    assert "sweep study, 3 trials of 3 epochs" in outcome["out"]


def test_process_of_its_own_says_the_same(tmp_path):
    case = CASES["misspelt method"]
    _check_process(case.command(tmp_path / "study"), case.expected, code=ROOT)


def test_damaged_data_file_is_reported_in_a_separate_process(tmp_path):
    for package in ("augment", "methods", "orchestrator"):
        shutil.copytree(ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    damaged = tmp_path / "code/orchestrator/datasets/fashion_scenes/cutouts_test.png"
    content = bytearray(damaged.read_bytes())
    content[-9] ^= 1
    damaged.write_bytes(content)
    case = Case("", {"run.dataset": {"name": "fashion_scenes"}})
    _check_process(case.command(tmp_path / "study"), "cutouts_test.png", code=tmp_path / "code")


def _check_process(arguments: list[str], expected: str, *, code: Path) -> None:
    """As a user starts it, but that Python says what it imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "orchestrator.sweep", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(arguments[0]).parent,
        env=surroundings(code),
        check=False,
    )
    lines = done.stderr.splitlines(keepends=True)
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert (done.returncode, done.stdout) == (2, "")
    _check_line("".join(line for line in lines if not line.startswith("import time:")), expected)
    assert "torch" in imported
    assert not imported & {"ray", "mlflow", "optuna"}


def _check_line(errors: str, expected: str) -> None:
    assert errors.startswith("error: ")
    assert expected in errors
    assert errors.count("\n") == 1
