"""MLflow's own pages over an invented sweep, in a real browser."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.tracking.mlflow.tracker import Tracker
from tests.orchestrator.invented_sweep import EPOCHS, begin, end, invent, report
from tests.orchestrator.tracking.ui.check import check

CHROMIUM = shutil.which("chromium")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
def test_pages_show_what_the_database_holds(tmp_path: Path) -> None:
    folder = invent(tmp_path / "pages", trials=3)
    for number, state, epochs in ((0, "finished", EPOCHS), (1, "stopped", 3), (2, "finished", EPOCHS)):
        trial = begin(folder, number)
        Image.new("RGB", (64, 64), "red").save(trial.views)
        report(trial, *range(1, epochs + 1))
        end(trial, state)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert Tracker(folder, uri).close(60.0) == []
    assert CHROMIUM is not None
    assert check(uri, "pages", tmp_path / "shots", chromium=CHROMIUM) == []
    assert {file.name for file in (tmp_path / "shots").iterdir()} == {
        "experiment.png",
        "run.png",
        "curves.png",
        "views.png",
    }
