"""A sweep that an earlier commit began and a kill interrupted: the current command continues it to the same numbers.

`fixtures/begun_before_the_move` is such a folder, made at commit 4768bb7 and killed in trial 1 after epoch 2, and
`whole.json` holds what the same study gave there when it was not interrupted.
"""

import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.records.folder import SweepFolder, TrialFolder
from tests.orchestrator.command import Command
from tests.orchestrator.studies import read_study

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]
FIXTURE = Path(__file__).parent / "fixtures" / "begun_before_the_move"
WHOLE = json.loads((FIXTURE / "whole.json").read_text(encoding="utf-8"))


def made_here() -> bool:
    """Whether this machine is of the kind that made the fixture, so that every bit must be the same."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(re.findall(r"^(vendor_id|cpu family|model)\s*: (.*)$", info, re.MULTILINE))
    return {"cpu": list(fields.values()), "torch": torch.__version__} == WHOLE["made_on"]


def numbers(trial: TrialFolder) -> list[dict[str, Any]]:
    """What a trial reported but for times and the linear probe, whose protocol has had a new version since."""
    return [
        {k: v for k, v in without_linear(report).items() if not k.startswith("time/")} for report in trial.reports()
    ]


def without_linear(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if not name.startswith("linear_val")}


def test_sweep_begun_by_an_earlier_commit_continues_to_the_same_result(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE / "study", tmp_path / "sweeps" / "study")
    folder = SweepFolder(tmp_path / "sweeps" / "study")
    begun = {file: file.read_bytes() for file in Path(str(folder.trial(0).path)).iterdir()}
    before = folder.trial(1).reports()
    assert [report["epoch"] for report in before] == [1, 2]

    command = Command(tmp_path, of=read_study(FIXTURE / "study.yaml"))
    code, output, errors = command.run()
    assert code == 0, errors
    assert "trial 1   epoch 2/4  goes on" in output
    assert "trial 1   epoch 2/4  val_knn" not in output, "epochs before the interruption are not reported again"
    assert "is complete: 3 of 3 trials ended (3 finished)" in output
    assert {file: file.read_bytes() for file in begun} == begun, "a finished trial was changed"
    assert folder.trial(1).reports()[:2] == before

    weights = [trial.config()["run"]["addons"]["msr"]["base_weight"] for trial in folder.trials()]
    assert weights == [trial["base_weight"] for trial in WHOLE["trials"]]
    for trial, expected in zip(folder.trials(), WHOLE["trials"], strict=True):
        if made_here():
            assert numbers(trial) == [without_linear(report) for report in expected["reports"]]
            assert trial.result() == expected["result"]
            assert hashlib.sha256(trial.encoder_weights.read_bytes()).hexdigest() == expected["encoder_sha256"]
        for report, row in zip(numbers(trial), expected["reports"], strict=True):
            # Of 32 images, so that one of them is 3 points.
            assert abs(report["val_knn/1"] - row["val_knn/1"]) <= 2 * row["val_knn/1_se"]
            losses = [name for name in without_linear(row) if not name.startswith("val_knn")]
            assert all(math.isclose(report[name], row[name], rel_tol=1e-2) for name in losses)
    probes = [
        sorted(name for name in trial.reports()[-1] if name.startswith("linear_val")) for trial in folder.trials()
    ]
    assert probes == [["linear_val/1", "linear_val/1_se"], *[["linear_val/2", "linear_val/2_se"]] * 2]
