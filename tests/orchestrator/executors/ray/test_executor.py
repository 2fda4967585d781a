"""The executor on a real local Ray, with trials of a fraction of a second whose behaviour is one of their settings."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from orchestrator.config.run import resolve, with_values
from orchestrator.config.search_space import Choice, Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.executors.ray import cluster_checks
from orchestrator.executors.ray.cluster import cluster
from orchestrator.executors.ray.executor import execute
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.search.interruption import Interruption
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import asha, none
from orchestrator.search.study import StoredStudy
from orchestrator.training.assembly import load_data
from orchestrator.training.messages import Tell
from orchestrator.training.trial import TrialContext, run_trial
from tests.orchestrator.command import descendants, living
from tests.orchestrator.tiny_run import tiny_run

EPOCHS = 6
SPACE = Space(
    (
        Dimension("kind", Choice(("good", "meets", "bad", "dies once", "raises"))),
        Dimension("bonus", Range("uniform", 0.0, 0.1)),
    )
)
HANDLED = (signal.SIGINT, signal.SIGTERM)
pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray", "ignore::ResourceWarning"
    ),
]


def _toy(config: dict[str, Any], tell: Tell, data: np.ndarray) -> None:
    """Scores bonus + epoch when good; its state is one number in a file, as a checkpoint would be."""
    folder = TrialFolder(Path(config["folder"]))
    values = folder.config()["values"]
    context = TrialContext(folder, tell)
    state = folder.path / "state"
    done = int(state.read_text()) if state.exists() else 0
    for epoch in range(1, EPOCHS + 1):
        if epoch > done:  # an earlier epoch is only reported again
            began = time.monotonic()
            time.sleep(0.15)
            if epoch == 3 and values["kind"] == "meets":
                _wait_for_the_other(folder)
            if epoch == 3 and values["kind"] == "raises":
                raise ArithmeticError("no luck\nat all")
            if epoch == 3 and values["kind"] == "dies once" and done == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            (folder.path / f"epoch-{epoch}").write_text(f"{began} {time.monotonic()} {os.getpid()}")
            state.write_text(str(epoch))
        score = values["bonus"] + (0.0 if values["kind"] == "bad" else epoch)
        facts = {"writeable": float(data.flags.writeable), "gpus": len(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))}
        facts["cold start"] = float("PL_DISABLE_FORK" in os.environ)  # what Tune gives workers of its own
        context.report({"epoch": epoch, "finished": int(epoch == EPOCHS), "score": score, **facts})


def _wait_for_the_other(folder: TrialFolder) -> None:
    (folder.path / "here").touch()
    deadline = time.monotonic() + 60
    while len(list(folder.path.parent.glob("*/here"))) < 2:
        assert time.monotonic() < deadline, "no other trial started: trials run one by one"
        time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def handlers_before_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """A Ray for the module, and what handled signals before it."""
    handlers = [signal.getsignal(number) for number in HANDLED]
    folder = tmp_path_factory.mktemp("ray")
    with cluster(_sweep(), data_bytes=10_000_000, log=folder / "ray.log", address=None, storage=str(folder)):
        yield handlers


def _sweep(**changes: Any) -> SweepConfig:
    settled = {"name": "s", "trials": 1, "metric": "score", "concurrency": 2, "max_failures": 1}
    return SweepConfig.model_validate({**settled, "scheduler": none.Config(), **changes})


def _ledger(folder: SweepFolder, sweep: SweepConfig) -> Ledger:
    def resolved(number: int, values: dict[str, Any]) -> dict[str, Any]:
        return {"run": {"training": {"epochs": EPOCHS}}, "values": values}

    folder.path.mkdir(parents=True, exist_ok=True)
    store = StoredStudy(folder.journal, sweep, space=SPACE, epochs=EPOCHS)
    return Ledger(folder, store, sweep=sweep, resolved=resolved)


def _run(ledger: Ledger) -> None:
    execute(
        ledger, _toy, shared={"data": np.zeros(1_000_000, np.uint8)}, is_over=Interruption(ledger, None, str).is_over
    )


def _epochs(folder: SweepFolder, number: int) -> list[int]:
    return [report["epoch"] for report in folder.trial(number).reports()]


def _spans(folder: SweepFolder, number: int) -> list[tuple[float, float, int]]:
    files = sorted(folder.trial(number).path.glob("epoch-*"))
    return [(float(a), float(b), int(pid)) for a, b, pid in (file.read_text().split() for file in files)]


def test_ray_runs_nothing_that_trials_do_not_need() -> None:
    command_lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in living(descendants(os.getpid()))]
    assert any(b"raylet" in line for line in command_lines)
    unwanted = [line for line in command_lines if re.search(rb"/(monitor|log_monitor|dashboard)\.py", line)]
    assert unwanted == []


def test_trials_overlap_share_data_and_reuse_their_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def imports_every_tracker(callbacks: object) -> None:
        raise AssertionError("Tune counts callbacks to report usage")

    monkeypatch.setattr("ray.air._internal.usage._count_callbacks", imports_every_tracker)
    folder = SweepFolder(tmp_path / "s")
    kinds_in_order = ["meets", "meets", "good", "good", "good"]
    ledger = _ledger(folder, _sweep(trials=5, enqueue=[{"kind": kind, "bonus": 0.0} for kind in kinds_in_order]))
    _run(ledger)
    assert ledger.is_complete
    assert [trial.state for trial in ledger.trials.values()] == ["finished"] * 5
    spans = {number: _spans(folder, number) for number in range(5)}
    assert len({pid for epochs in spans.values() for *_, pid in epochs}) == 2
    assert all(report["writeable"] == 0 for report in folder.trial(4).reports()), "the data must be mapped, not copied"
    assert all(report["gpus"] == 0 for report in folder.trial(4).reports()), "a trial that asks for no GPU sees none"
    assert all(report["cold start"] == 0 for report in folder.trial(0).reports()), "Ray had a worker ready for it"


def test_a_trial_whose_worker_dies_goes_on_and_one_that_always_raises_is_given_up(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    known = [{"kind": kind, "bonus": 0.0} for kind in ("dies once", "raises")]
    news: list[tuple[int, str, str | None]] = []
    ledger = _ledger(folder, _sweep(trials=2, enqueue=known))
    ledger.watch(lambda number: news.append((number, ledger.trials[number].state, ledger.trials[number].reason)))
    _run(ledger)
    assert [trial.state for trial in ledger.trials.values()] == ["finished", "failed"]
    assert _epochs(folder, 0) == list(range(1, EPOCHS + 1)), "no epoch is recorded twice"
    assert (0, "waiting", "its worker process died") in news
    assert _epochs(folder, 1) == [1, 2]
    assert folder.trial(1).result() == {
        "state": "failed",
        "reason": "ArithmeticError: no luck",
        "epoch": 2,
        "metric": "score",
        "value": 2.0,
    }
    assert "ArithmeticError" in (folder.trial(1).path / "error.txt").read_text()


def test_successive_halving_stops_the_bad_and_frees_its_worker(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    known = [{"kind": "good" if n == 0 else "bad", "bonus": 0.01 * n} for n in range(4)]
    sweep = _sweep(trials=4, enqueue=known, concurrency=1, scheduler=asha.Config(grace=1 / 3))
    ledger = _ledger(folder, sweep)
    _run(ledger)
    assert [trial.state for trial in ledger.trials.values()] == ["finished", "stopped", "stopped", "stopped"]
    # Trial 3 is the second best of four at the first rung, and the worse of two at the second.
    assert [_epochs(folder, number) for number in (1, 2, 3)] == [[1, 2], [1, 2], [1, 2, 3, 4]]
    assert len(list(folder.trial(3).path.glob("epoch-*"))) == 4, "a stopped trial trains no further"
    pid = _spans(folder, 3)[-1][2]
    assert pid == _spans(folder, 1)[-1][2], "a stopped trial's worker is reused"
    deadline = time.monotonic() + 2
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the last stopped trial still holds a process"
        time.sleep(0.05)


def test_an_interrupted_execution_is_continued_by_the_next(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    sweep = _sweep(trials=3, enqueue=[{"kind": "good", "bonus": 0.01 * n} for n in range(3)], concurrency=1)
    first = _ledger(folder, sweep)

    def close_in_the_second(number: int) -> None:
        if number == 1 and first.trials[number].epoch == 2:
            first.close("enough")

    first.watch(close_in_the_second)
    _run(first)
    assert not first.is_complete
    assert len(first.trials) < 3
    before = [folder.trial(number).reports() for number in first.trials]
    second = _ledger(folder, sweep)
    _run(second)
    assert second.is_complete
    for number in range(3):
        assert _epochs(folder, number) == list(range(1, EPOCHS + 1))
    for number, reports in enumerate(before):
        assert folder.trial(number).reports()[: len(reports)] == reports


def test_time_limit_ends_the_execution_and_not_the_trials(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    ledger = _ledger(folder, _sweep(trials=3, enqueue=[{"kind": "good", "bonus": 0.0}] * 3, concurrency=1))
    notices: list[str] = []
    interruption = Interruption(ledger, 1e9, notices.append)
    ledger.watch(lambda number: setattr(interruption, "_deadline", 0.0))
    execute(ledger, _toy, shared={"data": np.zeros(10, np.uint8)}, is_over=interruption.is_over)
    assert interruption.out_of_time
    assert notices == ["the time limit is over: stopping; the same command goes on"]
    assert ledger.closing == "its time limit of 1e+09 min is over (sweep.time_limit)"
    assert not ledger.is_complete
    assert all(not trial.is_over for trial in ledger.trials.values())


def test_a_diverged_trial_fails_with_its_reason_and_the_next_one_reuses_its_worker(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    folder.path.mkdir()
    run = tiny_run(training={"epochs": 2}, evaluation={"knn": {}}).dump()
    space = Space((Dimension("optimizer.lr", Range("log_uniform", 1e-3, 1e30)),))
    sweep = _sweep(trials=2, metric="val_knn/1", concurrency=1, enqueue=[{"optimizer.lr": lr} for lr in (1e30, 0.01)])
    store = StoredStudy(folder.journal, sweep, space=space, epochs=2)
    ledger = Ledger(folder, store, sweep=sweep, resolved=lambda number, values: {"run": with_values(run, values)})
    pids: list[set[int]] = []
    ledger.watch(lambda number: pids.append(descendants(os.getpid())) if ledger.trials[number].is_over else None)
    shared = {"data": load_data(resolve(run)), "dataset": run["dataset"]}
    execute(ledger, run_trial, shared=shared, is_over=Interruption(ledger, None, str).is_over)
    results = [folder.trial(number).result() or {} for number in range(2)]
    assert [result["state"] for result in results] == ["failed", "finished"]
    assert "not finite" in results[0]["reason"]
    assert pids[1] - pids[0] == set(), "the second trial started no process"
    assert folder.trial(1).encoder_card.exists()
    assert not list(folder.trial(1).path.glob("checkpoint-*")), "a finished trial needs no checkpoint"


def test_ray_takes_no_signal_from_the_sweep(handlers_before_ray: list[Any]) -> None:
    assert [signal.getsignal(number) for number in HANDLED] == handlers_before_ray


def test_a_sweep_s_own_ray_is_not_one_to_join(handlers_before_ray: list[Any]) -> None:
    assert cluster_checks.is_private(ray.get_runtime_context().gcs_address)


def test_nothing_listens_beyond_this_machine() -> None:
    family = descendants(os.getpid()) | {os.getpid()}
    assert len(family) > 3, "Ray's processes are ours"
    inodes = {inode for pid in family for inode in _sockets(pid)}
    listening = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().split("\n")[1:-1]
    ]
    addresses = {fields[1].rpartition(":")[0] for fields in listening if fields[3] == "0A" and fields[9] in inodes}
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def _sockets(pid: int) -> list[str]:
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
    return [link[8:-1] for link in links if link.startswith("socket:[")]
