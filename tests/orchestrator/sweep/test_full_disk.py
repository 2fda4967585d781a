"""A full disk ends the sweep, not its trials."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.search_space import Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.storage.path import parse
from orchestrator.sweep import driver
from orchestrator.training import messages, trial
from orchestrator.training.assembly import load_data
from tests.orchestrator.tiny_run import tiny_run

SPACE = Space((Dimension("x", Range("uniform", 0, 1)),))
SWEEP = SweepConfig(name="s", trials=2, metric="knn", scheduler=none.Config())
REPORTS = [{"epoch": epoch, "finished": int(epoch == 2), "knn": 40.0 + epoch} for epoch in (1, 2)]


def open_ledger(path: Path) -> Ledger:
    folder = SweepFolder(path)
    folder.path.mkdir(exist_ok=True)
    store = StoredStudy(folder.journal, SWEEP, space=SPACE, epochs=2)
    return Ledger(folder, store, sweep=SWEEP, resolved=lambda number, values: {"run": {"training": {"epochs": 2}}})


def _no_space(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("method", ["append_report", "write_result", "write_config"])
def test_driver_on_a_full_disk_closes_the_sweep_and_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    first = open_ledger(tmp_path / "s")
    with monkeypatch.context() as full:
        full.setattr(TrialFolder, method, _no_space)
        number = first.next()
        if number is not None:
            first.started(number)
            for report in REPORTS:
                assert not first.report(number, report)
            first.ended(number)
    assert first.closing is not None
    assert first.closing.startswith("the disk is full ([Errno 28] No space left on device)")
    first.failed(0, "late news") if first.trials else None  # nothing is written any more
    assert first.next() is None
    assert [folder.result() for folder in first.folder.trials()] in ([], [None])

    second = open_ledger(tmp_path / "s")
    assert second.next() == 0
    second.started(0)
    for report in REPORTS:  # a resumed trial tells its whole history
        second.report(0, report)
    second.ended(0)
    assert second.trials[0].state == "finished"
    assert second.folder.trial(0).reports() == REPORTS


def test_worker_on_a_full_disk_says_so_and_other_errors_stay_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[dict[str, Any]] = []
    monkeypatch.setattr(trial.view_grid, "write", lambda *args: None)
    monkeypatch.setattr(trial.assembly, "train", _no_space)
    run = tiny_run().dump()
    folder = TrialFolder(tmp_path / "0000")
    folder.write_config({"run": run})
    trial.run_trial({"folder": str(folder.path)}, results.append, load_data(tiny_run()), run["dataset"])
    (failure,) = [messages.storage_failure(result) for result in results]
    assert str(failure).startswith("the disk is full ([Errno 28] No space left on device); free some of it")
    monkeypatch.setattr(trial.assembly, "train", lambda *args: (folder.path / "nowhere" / "file").open("w"))
    with pytest.raises(FileNotFoundError):
        trial.run_trial({"folder": str(folder.path)}, results.append, load_data(tiny_run()), run["dataset"])


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory\nat"), OSError(5, "no"), ValueError()]
)
def test_whatever_goes_wrong_with_the_baselines_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(driver, "baselines", fail)
    message = driver._measured(tiny_run(), load_data(tiny_run()), parse(tmp_path / "baselines.json"))
    assert isinstance(message, str)
    assert message.startswith(type(error).__name__)
    assert "\n" not in message


def test_baselines_of_an_earlier_version_are_read_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "baselines.json"
    old = {"random encoder": {"val_knn/1": 19.7, "linear_val/1": 23.5}, "raw pixels": {"val_knn/1": 43.1}}
    file.write_text(json.dumps(old))
    assert driver._measured(tiny_run(), load_data(tiny_run()), parse(file)) == old


def test_a_trial_found_to_be_over_leaves_no_checkpoint(tmp_path: Path) -> None:
    first = open_ledger(tmp_path / "s")
    assert first.next() == 0
    for report in REPORTS:
        first.report(0, report)
    first.ended(0)
    left = first.folder.trial(0).path / "checkpoint-00000001.pt"  # killed between the result and its deletion
    left.touch()
    open_ledger(tmp_path / "s")
    assert not left.exists()


def test_an_orphan_of_a_sweep_put_aside_writes_nothing_into_its_namesake(tmp_path: Path) -> None:
    old = SweepFolder(tmp_path / "s")
    old.trial(0).write_config({})
    orphan = trial.TrialContext(old.trial(0), print)
    old.archive()
    with pytest.raises(FileNotFoundError):
        orphan.save_checkpoint({"step": 1})
    old.trial(0).write_config({})
    with pytest.raises(RuntimeError, match="another sweep's"):
        orphan.save_checkpoint({"step": 1})
    assert [path.name for path in old.trial(0).path.iterdir()] == ["config.yaml"]


def test_full_disk_takes_precedence_over_other_reasons_to_close_the_sweep(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s")
    ledger.close("it was stopped by SIGINT")
    ledger.close_without_storage("the disk is full")
    ledger.close("its time limit is over")
    assert ledger.closing == "the disk is full"
