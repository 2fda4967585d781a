"""The driver around trials that are over at once: no Ray is started."""

import errno
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.config.run import resolve
from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.errors import UserError
from orchestrator.data import own_images
from orchestrator.executors.ray.cluster import cluster
from orchestrator.executors.ray.executor import Interruption
from orchestrator.records.folder import SweepFolder
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.storage.local import LocalPlace
from orchestrator.storage.path import at
from orchestrator.study.study_file import Study
from orchestrator.sweep import driver
from orchestrator.sweep.live_table import Silence
from orchestrator.sweep.summary import Scores
from tests.orchestrator.datasets.own_files import picture, write, write_folder
from tests.orchestrator.tiny_run import RUN, tiny_run

BASELINES = {"raw pixels": {"val_knn/1": 30.0}}
SPACE = Space((Dimension("optimizer.lr", Range("uniform", 0.0, 1.0)),))


def open_ledger(folder: SweepFolder, trials: int) -> Ledger:
    """The ledger of a search by `val_knn/1`, as the next start of its command would have it."""
    sweep = SweepConfig(name="s", trials=trials, metric="val_knn/1", scheduler=none.Config())
    folder.path.mkdir(parents=True, exist_ok=True)
    store = StoredStudy(folder.journal, sweep, space=SPACE, epochs=2)
    return Ledger(folder, store, sweep=sweep, resolved=lambda number, values: {"run": {"training": {"epochs": 2}}})


def run_all(ledger: Ledger) -> None:
    """Every trial there is, each with one report."""
    while (number := ledger.next()) is not None:
        finish(ledger, number)


def finish(ledger: Ledger, number: int) -> None:
    ledger.started(number)
    ledger.report(number, {"epoch": 2, "finished": 1, "val_knn/1": 40.0 + number})
    ledger.ended(number)


class OwnImagesSweep:
    """A sweep on images in folders; each start of it looks at them anew.

    Args:
        home: of the images and of the sweep.
    """

    def __init__(self, home: Path) -> None:
        self.images, self.folder = write_folder(home / "images"), SweepFolder(home / "s")
        dataset = {"name": "image_folder", "root": str(self.images), "size": 8, "cache": str(home / "cache")}
        self._run = resolve({**RUN, "dataset": dataset})

    def start(self, trials: int) -> Scores | str:
        own_images._opened.cache_clear()
        ledger = open_ledger(self.folder, trials)
        study = Study(Path("study.yaml"), ledger.sweep, self._run, {}, SPACE)
        shown = Silence()
        return driver._search(study, ledger, shown, Interruption(ledger, None, shown.note), None)

    def ended(self) -> int:
        return sum(trial.result() is not None for trial in self.folder.trials())


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnImagesSweep:
    """Two of its trials have ended."""
    monkeypatch.setattr(driver, "_run_trials", lambda study, ledger, *others: run_all(ledger))
    monkeypatch.setattr(driver, "baselines", lambda run, data: BASELINES)
    monkeypatch.setattr(Interruption, "install", lambda self: None)
    begun = OwnImagesSweep(tmp_path)
    assert begun.start(trials=2) == BASELINES
    return begun


def test_images_that_changed_on_disk_are_refused_until_they_are_back(sweep: OwnImagesSweep) -> None:
    file = sweep.images / "train" / "cat" / "0.png"
    before = file.read_bytes()
    write(file, picture(99))
    with pytest.raises(UserError, match=r"images it was begun on, and run\.dataset has others now"):
        sweep.start(trials=3)
    assert sweep.ended() == 2
    write(file, before)  # the same images in a file of another time
    assert sweep.start(trials=3) == BASELINES
    assert sweep.ended() == 3


def test_finished_sweep_is_shown_whatever_became_of_its_images(sweep: OwnImagesSweep) -> None:
    write(sweep.images / "train" / "cat" / "0.png", picture(99))
    assert sweep.start(trials=2) == BASELINES
    (sweep.folder.path / "baselines.json").unlink()
    told = sweep.start(trials=2)
    assert isinstance(told, str)
    assert "run.dataset has others now" in told, "baselines on other images would not be of this sweep"


def test_sweep_from_before_images_were_noted_goes_on_with_what_is_there(sweep: OwnImagesSweep) -> None:
    sweep.folder.data.unlink()
    write(sweep.images / "train" / "cat" / "0.png", picture(99))
    sweep.start(trials=3)
    assert sweep.ended() == 3
    write(sweep.images / "train" / "cat" / "1.png", picture(98))
    with pytest.raises(UserError, match="begun on"):
        sweep.start(trials=4)


def end_one(ledger: Ledger) -> None:
    number = ledger.next()
    assert number is not None
    finish(ledger, number)


def fail_all(ledger: Ledger) -> None:
    while (number := ledger.next()) is not None:
        ledger.failed(number, "diverged")


def fill_disk_after_all(ledger: Ledger) -> None:
    run_all(ledger)
    ledger.close_without_storage("no space")


def end_none(ledger: Ledger) -> None:
    ledger.next()


@pytest.mark.parametrize(
    ("work", "how", "code"),
    [
        (run_all, {}, 0),
        (fail_all, {}, 1),
        (fill_disk_after_all, {}, 1),
        (end_one, {"out_of_time": True}, 0),
        (end_none, {"out_of_time": True}, 1),
        (end_one, {}, 1),  # Ray gave up
        (end_one, {"signal": 15}, 143),
        (run_all, {"signal": 15}, 0),
    ],
)
def test_exit_code_says_how_a_sweep_ended(
    tmp_path: Path, work: Callable[[Ledger], None], how: dict[str, Any], code: int
) -> None:
    ledger = open_ledger(SweepFolder(tmp_path / "s"), trials=2)
    work(ledger)
    interruption = Interruption(ledger, None, lambda sentence: None)
    for name, value in how.items():
        setattr(interruption, name, value)
    assert driver._exit_code(ledger, interruption) == code


@pytest.mark.parametrize("full", ["sweep.yaml", "summary.txt"])
def test_disk_that_is_full_at_the_start_or_the_end_is_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], full: str
) -> None:
    whole = LocalPlace.write

    def write(file: LocalPlace, content: str) -> None:
        if file.name == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(file, content)

    def search(study: Study, ledger: Ledger, *others: object) -> str:
        run_all(ledger)
        return "not measured"

    monkeypatch.setattr(LocalPlace, "write", write)
    silent = SimpleNamespace(changed=lambda number: None, close=lambda seconds: [])
    monkeypatch.setattr(driver, "Tracker", lambda folder, uri: silent)
    monkeypatch.setattr(Study, "trial", lambda study, number, values: {"run": {"training": {"epochs": 2}}})
    monkeypatch.setattr(driver, "_search", search)
    sweep = SweepConfig(name="s", trials=1, metric="val_knn/1", scheduler=none.Config())
    study = Study(tmp_path / "s.yaml", sweep, tiny_run(evaluation={"knn": {}}), {}, Space(()))
    options = driver.Options(at(tmp_path), None, None, fresh=False, quiet=True, command=("s.yaml",), places=())
    assert driver.drive(study, options) == 1
    assert "the disk is full ([Errno 28]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "threads", "told"),
    [
        ({"concurrency": 8}, 1, None),  # Ray runs as many as there are cores
        ({"concurrency": 4, "cpus_per_worker": 2}, 2, None),
        ({"concurrency": 2}, 2, None),
        ({"concurrency": 4}, 2, "4 workers .* on 4 cores; --set sweep.cpus_per_worker=2"),
        ({"concurrency": 1, "workers": 4}, 2, "4 workers .* on 4 cores; --set run.training.threads=1"),
        ({"concurrency": 4, "trials": 2}, 2, None),
    ],
)
def test_more_threads_than_cores_are_warned_of(monkeypatch, changes, threads, told):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    sweep = SweepConfig.model_validate({"name": "s", "trials": 9, "metric": "val_knn/1", **changes})
    run = resolve({**RUN, "training": {**RUN["training"], "threads": threads}})
    study = Study(Path("study.yaml"), sweep, run, {}, SPACE)
    warnings = driver._crowd(study, None)
    assert len(warnings) == (told is not None)
    assert told is None or re.search(told, warnings[0])
    assert driver._crowd(study, "head:6379") == []


def test_ray_that_does_not_start_is_told_in_one_line(monkeypatch, tmp_path):
    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr("ray.init", init)
    sweep = SweepConfig(name="s", trials=1, metric="score")
    place = {"log": tmp_path / "ray.log", "address": None, "storage": str(tmp_path)}
    with pytest.raises(UserError) as told, cluster(sweep, data_bytes=1, **place):
        pass
    assert str(told.value).startswith("Ray did not start: The current node timed out during startup. (more in ")
    assert "\n" not in str(told.value)
