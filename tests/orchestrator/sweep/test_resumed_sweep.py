"""Kill the driver anywhere: the same command goes on, and the numbers are those of a sweep that was never cut off."""

import os
import signal
import time
from pathlib import Path

import pytest

from orchestrator.evaluate import __main__, target
from orchestrator.storage.path import parse
from orchestrator.tracking.mlflow.client import connect
from tests.orchestrator.command import Command, descendants, is_agent, living
from tests.orchestrator.storage.s3_server import s3_server

# One test starts the command up to five times; its own patience ends each of them.
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)]
# One at a time and TPE, or any number at a time and random: then a sweep's trials are reproducible as a whole.
SEQUENTIAL = {
    "sweep.trials": 3,
    "sweep.scheduler": {"name": "none"},
    "sweep.enqueue": [{"addons.msr.base_weight": 0.5}],
    "run.training.epochs": 4,
    "run.optimizer.warmup_epochs": 0,
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(tmp_path_factory.mktemp("uninterrupted"), SEQUENTIAL)
    code, output, errors = command.run()
    assert code == 0, errors
    assert "is complete: 3 of 3 trials ended (3 finished)" in output
    return command


def test_kills_at_start_in_training_and_at_a_trials_end_and_two_ctrl_c_change_no_number(
    uninterrupted: Command, tmp_path: Path
) -> None:
    command = Command(tmp_path, SEQUENTIAL)
    first = command.sweep.trial(0)
    command.start()
    command.kill_when(command.sweep.journal.exists)  # at start-up, before any trial
    assert not command.sweep.trials()

    process = command.start()
    command.wait_until(lambda: first.last_epoch() >= 2)
    family = {pid for pid in descendants(process.pid) if not is_agent(pid)}
    command.kill_when(lambda: first.last_epoch() >= 2)  # in training
    deadline = time.monotonic() + 15
    while left := living(family):
        assert time.monotonic() < deadline, f"processes of a killed driver live on: {left}"
        time.sleep(0.2)

    command.start()
    # At a trial's end: its last report is there, its result may be or not.
    command.kill_when(lambda: first.last_epoch() == 4)
    finished = [n for n, result in command.results().items() if result]

    process = command.start()
    command.wait_until(lambda: command.sweep.trial(1).last_epoch() >= 1)
    for _ in range(2):  # the second one stops it wherever it is
        os.kill(process.pid, signal.SIGINT)
    code, output, errors = command.finish()
    assert code == 130, errors
    assert "is complete" not in output

    code, output, errors = command.run()
    assert code == 0, errors
    assert "is complete: 3 of 3" in output
    assert command.reports() == uninterrupted.reports()
    assert command.results() == uninterrupted.results()
    assert command.weights() == uninterrupted.weights()
    configs = [[trial.config() for trial in c.sweep.trials()] for c in (command, uninterrupted)]
    assert configs[0] == configs[1]
    assert all(result is not None for result in command.results().values()), finished


@pytest.mark.slow  # the short drill's sweep lies in an object store too
def test_sweep_in_an_object_store_killed_and_continued_has_the_same_numbers(
    uninterrupted: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with s3_server() as server:
        storage = server.uri("sweeps/team")
        command = Command(tmp_path, SEQUENTIAL, storage=storage)
        command.start()
        command.kill_when(lambda: command.sweep.trial(1).last_epoch() >= 2)
        assert not (tmp_path / "sweeps").exists()
        code, output, errors = command.run()  # takes over from a dead holder at once
        assert code == 0, errors
        assert "/4  goes on" in output
        assert command.reports() == uninterrupted.reports()
        assert command.results() == uninterrupted.results()
        assert command.weights() == uninterrupted.weights()

        store = f"sqlite:///{tmp_path / 'mlflow.db'}"
        assert __main__.main(["study", "--storage", storage, "--tracking-uri", store]) == 0
        best = target.locate("study", parse(storage), store)
        assert str(best.path / "test.json") in capsys.readouterr().out.replace("\n", "")
        (run,) = connect(store).search_runs(["1"], f"tags.trial = '{best.number}'")
        files = {item.path: item.file_size for item in connect(store).list_artifacts(run.info.run_id)}
        assert files["encoder.safetensors"] == best.encoder_weights.size()
        assert "test.json" in files


def test_a_finished_sweep_prints_its_result_again_and_more_trials_extend_it(uninterrupted: Command) -> None:
    before = uninterrupted.reports()
    began = time.monotonic()
    code, output, errors = uninterrupted.run("--quiet")
    assert code == 0, errors
    assert "starting Ray" not in output
    assert "is complete: 3 of 3" in output
    assert uninterrupted.reports() == before
    assert (uninterrupted.sweep.summary).read_text() in output
    assert time.monotonic() - began < 120

    code, output, errors = uninterrupted.run("--set", "run.seed=7")
    assert code == 2
    assert "run.seed: 0 in the folder, 7 now" in errors
    assert "Traceback" not in errors

    code, output, errors = uninterrupted.run("--trials", "4", "--set", "sweep.concurrency=2", "--quiet")
    assert code == 0, errors
    assert "is complete: 4 of 4" in output
    after = uninterrupted.reports()
    assert {n: after[n] for n in before} == before
    assert len(after[3]) == 4


def test_kills_under_tpe_and_halving_rerun_nothing_and_leave_mlflow_whole(tmp_path: Path) -> None:
    twice = {"addons.msr.base_weight": 0.5}
    command = Command(
        tmp_path,
        {
            "sweep.trials": 6,
            "sweep.concurrency": 2,
            "sweep.sampler": {"name": "tpe", "startup": 2},
            "sweep.scheduler": {"name": "asha", "grace": 0.25, "reduction": 2},
            "sweep.enqueue": [twice, twice],
            "run.training.epochs": 4,
            "run.optimizer.warmup_epochs": 0,
        },
    )
    command.start()
    command.kill_when(command.sweep.journal.exists)  # at start-up
    command.start()
    command.kill_when(lambda: command.sweep.trial(1).last_epoch() >= 1)  # in training, before TPE knows anything
    command.start()
    command.kill_when(lambda: sum(bool(result) for result in command.results().values()) >= 3)
    ended = {n: command.sweep.trial(n).result_file.stat() for n, result in command.results().items() if result}
    code, output, errors = command.run()
    assert code == 0, errors
    assert "is complete: 6 of 6" in output
    assert {n: command.sweep.trial(n).result_file.stat() for n in ended} == ended  # nothing finished was touched again

    reports = command.reports()
    shared = min(len(reports[0]), len(reports[1]))
    assert reports[0][:shared] == reports[1][:shared]  # equal settings, equal numbers

    client = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(command.sweep.name)
    assert experiment is not None
    runs = {run.data.tags["trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == [*map(str, range(6)), "parent"]
    assert len(client.search_runs([experiment.experiment_id])) == 7  # one run per trial, however often it was begun
    for number, trial_reports in reports.items():
        history = client.get_metric_history(runs[str(number)].info.run_id, "val_knn/1")
        assert [(point.step, point.value) for point in history] == [(r["epoch"], r["val_knn/1"]) for r in trial_reports]
