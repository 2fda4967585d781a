"""The suite turns red when a known bug is put in: one at a time, in a copy, against the test that owns it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS_FAILED = 1  # pytest's exit code; a copy that cannot be imported gives 2, a test that is gone 4

# What is broken: the file, what is right in it, what is put there instead, and the test that must notice.
BUGS = {
    "loss sign": (
        "methods/byol.py",
        "(2 - 2 * cosine_similarity",
        "(2 + 2 * cosine_similarity",
        "tests/methods/test_byol.py::test_cosine_distance_is_the_papers_squared_distance",
    ),
    "missing detach": (
        "methods/objective.py",
        "online[view].prediction.detach()",
        "online[view].prediction",
        "tests/methods/addons/test_msr_loss.py::test_loss_over_byol_is_equation_5_with_its_gradient",
    ),
    "own weak parent as key": (
        "methods/addons/msr.py",
        "Pair(query, pair.key, ",
        "Pair(query, pair.query, ",
        "tests/methods/addons/test_msr.py::test_pairs_are_cross_crop_and_share_the_weight",
    ),
    "schedule off by one": (
        "orchestrator/training/loop.py",
        "progress=self.step / self.steps",
        "progress=(self.step - 1) / self.steps",
        "tests/orchestrator/training/test_loop.py::test_reported_schedules_are_means_over_the_steps_of_the_epoch",
    ),
    "crop ratio": (
        "augment/boxes.py",
        "(3 / 4, 4 / 3)",
        "(1 / 2, 2.0)",
        "tests/augment/ops/test_crop.py::test_crop_boxes_stay_within_their_law",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_suite_notices(bug, tmp_path):
    file, right, wrong, owner = BUGS[bug]
    for package in ("augment", "methods", "orchestrator", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (tmp_path / file).read_text()
    assert text.count(right) == 1, f"{file} no longer has {right!r} once; seed the bug elsewhere"
    (tmp_path / file).write_text(text.replace(right, wrong))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--exitfirst", "--quiet", "-p", "no:cacheprovider", owner],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == TESTS_FAILED, f"{bug} in {file} went unnoticed by {owner}:\n{run.stdout}{run.stderr}"
