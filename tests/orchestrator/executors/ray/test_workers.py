"""Trials of two workers each by Ray Train on a real local Ray, whose behaviour is one of their settings.

That a worker is killed, and a trial goes on, is seen on a real cluster in tests/drill.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from torch import distributed

from methods.parts.gather import rank, world_size
from orchestrator.config.search_space import Choice, Dimension, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.executors.ray.cluster import cluster
from orchestrator.executors.ray.executor import execute
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.interruption import Interruption
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import asha
from orchestrator.search.study import StoredStudy
from orchestrator.training.messages import Tell
from orchestrator.training.trial import TrialContext
from tests.orchestrator.command import descendants, living

EPOCHS = 4
KINDS = ("good", "bad", "raises")
SPACE = Space((Dimension("kind", Choice(KINDS)),))
pytestmark = [
    pytest.mark.slow,  # the short drill has a trial of two workers too
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray", "ignore::ResourceWarning"
    ),
]


def _toy(config: dict[str, Any], tell: Tell, offset: float) -> None:
    """Each rank works on a part of a number; the last one has the accidents. The state is one number in a file."""
    folder = TrialFolder.parse(config["folder"])
    kind, state = folder.config()["kind"], Path(str(folder.path / "state"))
    done = int(state.read_text()) if state.exists() else 0
    context, last = TrialContext(folder, tell), rank() == world_size() - 1
    for epoch in range(1, EPOCHS + 1):
        if epoch == 2 and last and kind == "raises":
            raise ArithmeticError("no luck\nat all")  # the other one waits for it
        part = torch.tensor(float(epoch if kind != "bad" else 0) * (rank() + 1))
        distributed.all_reduce(part)
        if epoch > done:
            time.sleep(0.2)
            if rank() == 0:
                (folder.path / "state").write(str(epoch))  # whole, since the end of a stopped trial may come in between
        if rank() == 0:
            score = float(part) + offset
            context.report({"epoch": epoch, "finished": int(epoch == EPOCHS), "score": score, "ranks": world_size()})


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A sweep of one trial of each kind, with Ray still there."""
    folder = SweepFolder(tmp_path_factory.mktemp("sweeps") / "s")
    sweep = SweepConfig(
        name="s",
        trials=len(KINDS),
        metric="score",
        workers=2,
        max_failures=0,
        scheduler=asha.Config(grace=0.5),
        enqueue=[{"kind": kind} for kind in KINDS],
    )
    store = StoredStudy(folder.journal, sweep, space=SPACE, epochs=EPOCHS)
    run = {"training": {"epochs": EPOCHS}}
    ledger = Ledger(folder, store, sweep=sweep, resolved=lambda number, values: {"run": run, **values})
    log = Path(str(folder.path)) / "ray.log"
    with cluster(sweep, data_bytes=1, log=log, address=None, storage=str(folder.path)):
        execute(ledger, _toy, shared={"offset": 0.5}, is_over=Interruption(ledger, None, str).is_over)
        yield ledger


def test_a_trial_of_two_workers_reports_what_both_have_made(ended: Ledger) -> None:
    reports = ended.folder.trial(0).reports()
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]
    assert [report["score"] for report in reports] == [3.5, 6.5, 9.5, 12.5]
    assert {report["ranks"] for report in reports} == {2}
    assert ended.trials[0].state == "finished"


def test_a_trial_that_is_stopped_early_trains_no_further(ended: Ledger) -> None:
    assert ended.trials[1].state == "stopped"
    state = Path(str(ended.folder.trial(1).path)) / "state"
    assert [report["epoch"] for report in ended.folder.trial(1).reports()] == [1, 2]
    assert int(state.read_text()) < EPOCHS, "its workers went on to the end"


def test_a_trial_whose_worker_always_raises_fails_with_its_reason(ended: Ledger) -> None:
    result = ended.folder.trial(2).result() or {}
    assert (result["state"], result["reason"]) == ("failed", "ArithmeticError: no luck")


def test_ended_trials_hold_no_process_and_no_resource(ended: Ledger) -> None:
    deadline = time.monotonic() + 30
    while _workers() or any(group["state"] != "REMOVED" for group in ray.util.placement_group_table().values()):
        assert time.monotonic() < deadline, f"left: {_workers()}, {ray.util.placement_group_table()}"
        time.sleep(0.2)


def _workers() -> set[int]:
    family = living(descendants(os.getpid()))
    return {pid for pid in family if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()}
