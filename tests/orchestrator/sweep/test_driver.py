"""The driver around trials that are over at once, on an executor and with a tracker of the tests."""

import errno
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.run import RunConfig, resolve
from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import read_sweep
from orchestrator.core.errors import UserError
from orchestrator.data import own_images
from orchestrator.records.folder import SweepFolder
from orchestrator.storage.local import LocalPlace
from orchestrator.storage.path import parse
from orchestrator.study.study_file import Study
from orchestrator.sweep.driver import Options, drive
from tests.orchestrator.datasets.own_files import picture, write, write_folder
from tests.orchestrator.tiny_run import RUN, tiny_run

SPACE = Space((Dimension("optimizer.lr", Range("uniform", 0.0, 1.0)),))
SWEEP: dict[str, Any] = {
    "name": "s",
    "trials": 2,
    "metric": "val_knn/1",
    "scheduler": {"name": "none"},
    "tracker": {"name": "tests.orchestrator.tracking.silent"},
}


def start(home: Path, run: RunConfig, *, executor: dict[str, Any] | None = None, **sweep: Any) -> int:
    """One start of the command, up to its exit code."""
    invented = {"name": "tests.orchestrator.executors.invented", **(executor or {})}
    study = Study(home / "s.yaml", read_sweep({**SWEEP, "executor": invented, **sweep}), run, {}, SPACE)
    return drive(study, Options(parse(home), None, None, fresh=False, quiet=True, command=("s.yaml",), places=()))


class OwnImagesSweep:
    """A sweep on images in folders; each start reads the folders again.

    Args:
        home: of the images and of the sweep.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.images, self.folder = home, write_folder(home / "images"), SweepFolder(home / "s")
        dataset = {"name": "image_folder", "root": str(self.images), "size": 8, "cache": str(home / "cache")}
        training = {**RUN["training"], "batch_size": 8}
        self._run = resolve({**RUN, "dataset": dataset, "training": training, "evaluation": {"knn": {}}})

    def start(self, trials: int) -> int:
        own_images._opened.cache_clear()
        return start(self.home, self._run, trials=trials)

    def ended(self) -> int:
        return sum(trial.result() is not None for trial in self.folder.trials())


@pytest.fixture
def sweep(tmp_path: Path) -> OwnImagesSweep:
    """Two of its trials have ended."""
    begun = OwnImagesSweep(tmp_path)
    assert begun.start(trials=2) == 0
    return begun


def test_images_that_changed_on_disk_are_refused_until_they_are_back(sweep: OwnImagesSweep) -> None:
    file = sweep.images / "train" / "cat" / "0.png"
    before = file.read_bytes()
    write(file, picture(99))
    with pytest.raises(UserError, match=r"images it was begun on, and run\.dataset has others now"):
        sweep.start(trials=3)
    assert sweep.ended() == 2
    write(file, before)  # the same images in a file of another time
    assert sweep.start(trials=3) == 0
    assert sweep.ended() == 3


def test_finished_sweep_is_shown_whatever_became_of_its_images(
    sweep: OwnImagesSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    write(sweep.images / "train" / "cat" / "0.png", picture(99))
    assert sweep.start(trials=2) == 0
    assert "raw pixels" in capsys.readouterr().out
    (sweep.folder.path / "baselines.json").unlink()
    assert sweep.start(trials=2) == 0
    shown = capsys.readouterr().out
    assert "run.dataset has others now" in shown, "baselines on other images would not be of this sweep"
    assert "compare     look nowhere" in shown


def test_sweep_without_recorded_images_goes_on_with_the_present_ones(sweep: OwnImagesSweep) -> None:
    sweep.folder.data.unlink()
    write(sweep.images / "train" / "cat" / "0.png", picture(99))
    sweep.start(trials=3)
    assert sweep.ended() == 3
    write(sweep.images / "train" / "cat" / "1.png", picture(98))
    with pytest.raises(UserError, match="begun on"):
        sweep.start(trials=4)


@pytest.mark.parametrize(
    ("executor", "time_limit", "code"),
    [
        ({}, None, 0),
        ({"diverges": True}, None, 1),
        ({"then": "fill the disk"}, None, 1),
        ({"trials": 1}, 1e-9, 0),
        ({"trials": 0}, 1e-9, 1),
        ({"trials": 1}, None, 1),  # the executor gave up
        ({"trials": 1, "then": "receive SIGTERM"}, None, 143),
        ({"then": "receive SIGTERM"}, None, 0),
    ],
)
def test_exit_code_says_how_a_sweep_ended(
    tmp_path: Path, executor: dict[str, Any], time_limit: float | None, code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert start(tmp_path, tiny_run(evaluation={"knn": {}}), executor=executor, time_limit=time_limit) == code
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("full", ["sweep.yaml", "summary.txt"])
def test_disk_that_is_full_at_the_start_or_the_end_is_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], full: str
) -> None:
    whole = LocalPlace.write

    def write(file: LocalPlace, content: str) -> None:
        if file.name == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(file, content)

    monkeypatch.setattr(LocalPlace, "write", write)
    assert start(tmp_path, tiny_run(evaluation={"knn": {}})) == 1
    assert "the disk is full ([Errno 28]" in capsys.readouterr().err
