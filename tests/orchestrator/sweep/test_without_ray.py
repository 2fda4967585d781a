"""A whole sweep on another executor: early stopping, a crash, a kill of the driver, and Ray is not imported."""

from pathlib import Path

import pytest

from tests.orchestrator.command import Command

# Equal settings, so that halving has something to stop whatever the scores are.
TWICE = {"addons.msr.base_weight": 0.5}
STUDY = {
    "sweep.executor": {"name": "tests.orchestrator.executors.local_processes"},
    "sweep.trials": 3,
    "sweep.scheduler": {"name": "asha", "grace": 0.25},
    "sweep.enqueue": [TWICE, TWICE],
    "run.training.epochs": 4,
    "run.optimizer.warmup_epochs": 0,
}


@pytest.mark.timeout(600)
def test_sweep_on_local_processes_stops_early_and_survives_a_kill_without_ray(tmp_path: Path) -> None:
    whole = Command(tmp_path / "whole", STUDY)
    code, output, errors = whole.run()
    assert code == 0, errors
    assert "starting processes" in output
    assert "is complete: 3 of 3 trials ended" in output
    states = [result["state"] if result else None for result in whole.results().values()]
    assert states[:2] == ["finished", "stopped"], "of equal trials the first goes on"
    assert len(whole.reports()[1]) < 4

    cut = Command(tmp_path / "cut", STUDY)
    cut.start()
    cut.kill_when(lambda: cut.sweep.trial(0).last_epoch() >= 2)
    code, output, errors = cut.run()
    assert code == 0, errors
    assert "trial 0   epoch " in output
    assert "goes on" in output
    assert (cut.reports(), cut.results()) == (whole.reports(), whole.results())
    finished = [number for number, result in whole.results().items() if result and result["state"] == "finished"]
    for number in finished:
        weights = [one.sweep.trial(number).encoder_weights.read_bytes() for one in (whole, cut)]
        assert weights[0] == weights[1]
