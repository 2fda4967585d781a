"""A trial in its worker, where training comes to an end of its own."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from augment import separation
from orchestrator.config.run import resolve
from orchestrator.records.folder import TrialFolder
from orchestrator.storage.path import parse
from orchestrator.training import messages, trial
from orchestrator.training.assembly import load_data
from tests.orchestrator.tiny_run import tiny_run


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0"), "(CUDA out of memory): a"),
        (MemoryError(), "(MemoryError): a smaller run.training.batch_size"),
    ],
)
def test_memory_that_ran_out_ends_the_trial_alone_with_advice(
    error: Exception, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[dict[str, Any]] = []

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(trial.view_grid, "write", lambda *args: None)
    monkeypatch.setattr(trial.assembly, "train", fail)
    run = tiny_run().dump()
    folder = TrialFolder(tmp_path / "0000")
    folder.write_config({"run": run})
    arguments = ({"folder": str(folder.path)}, results.append, load_data(tiny_run()), run["dataset"])
    trial.run_trial(*arguments)
    (reason,) = [messages.given_up(result) for result in results]
    assert reason is not None
    assert expected in reason
    monkeypatch.setattr(trial, "world_size", lambda: 2)
    with pytest.raises(type(error)):  # else the other workers would wait for this one
        trial.run_trial(*arguments)


def test_images_are_taken_apart_once_for_all_trials_that_do_it_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_of(number: int, **settings: Any) -> dict[str, Any]:
        background = {"kind": "random", "separation": settings}
        return tiny_run(seed=number, addons={"background": background}, training={"epochs": 1}).dump()

    shared, made, completed = load_data(resolve(run_of(0))), list[str](), separation.completed
    monkeypatch.setattr(separation, "completed", lambda *given: (made.append("made"), completed(*given))[1])
    for number, (settings, times) in enumerate([({}, 0), ({"holes": "diffuse"}, 1)]):
        folder, run, sent = TrialFolder(tmp_path / f"{number:04d}"), run_of(number, **settings), list[Any]()
        folder.write_config({"run": run})
        trial.run_trial({"folder": str(folder.path)}, sent.append, shared, run["dataset"])
        assert folder.views.exists()
        assert len(sent) == 1
        assert len(made) == times


def test_only_the_first_of_several_workers_writes_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (1, 0):
        monkeypatch.setattr(trial, "rank", lambda: rank)  # noqa: B023
        with trial._warnings_in(parse(tmp_path / "warnings.txt")):
            logging.getLogger("orchestrator.training.step").warning("trains without CUDA graphs: of %d", rank)
    assert (tmp_path / "warnings.txt").read_text() == "trains without CUDA graphs: of 0\n"


def test_what_a_training_warns_of_is_kept_with_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*args: Any) -> None:
        logging.getLogger("orchestrator.training.graphs").warning("trains without %s", "graphs")
        logging.getLogger("orchestrator.data.streamed").warning("unreadable")

    monkeypatch.setattr(trial.view_grid, "write", lambda *args: None)
    monkeypatch.setattr(trial.assembly, "train", train)
    run, folder = tiny_run().dump(), TrialFolder(tmp_path / "0000")
    folder.write_config({"run": run})
    trial.run_trial({"folder": str(folder.path)}, list[Any]().append, load_data(tiny_run()), run["dataset"])
    logging.getLogger("orchestrator").warning("of another trial")
    assert (tmp_path / "0000" / "warnings.txt").read_text() == "trains without graphs\nunreadable\n"
