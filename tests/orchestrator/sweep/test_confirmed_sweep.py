"""The study of all papers at once in a tiny form, with a confirmation: cut off twice, gone on with, and mirrored."""

import json
from pathlib import Path

import pytest

from orchestrator.config import yaml_file
from orchestrator.config.run import resolve
from orchestrator.core.trial_number import origin_and_place, repeat_number
from orchestrator.records.leaderboard import Standings
from orchestrator.search.ledger import Ledger
from orchestrator.search.study import StoredStudy
from orchestrator.study.study_file import load_study
from orchestrator.sweep import resume
from orchestrator.tracking.mlflow.client import connect
from orchestrator.training import checkpoint, export
from orchestrator.training.assembly import load_data
from tests.orchestrator.command import Command
from tests.orchestrator.tiny_run import Killed, Surroundings, timeless

# Its own patience ends each start. Slow, since kills and confirmations each have quicker tests of their own.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)]
JOINT = Path(__file__).parents[3] / "search_spaces/joint.yaml"
TINY = {
    "sweep.name": "study",
    "sweep.trials": 3,
    "sweep.sampler.startup": 1,
    "sweep.confirm": {"top": 1, "seeds": 2},
    "run.dataset.train_size": 64,
    "run.dataset.validation_size": 64,
    "run.addons.augself.hidden": 16,
    "run.encoder.width": 0.25,
    "run.training.epochs": 2,
    "run.training.batch_size": 16,
    "run.optimizer.warmup_epochs": 0,
}
SUGGESTED = 2  # the first trial that is not enqueued
FIRST_REPEAT = repeat_number(0, 1)


class OnDisk:
    """A `Context` as a worker's, without Ray: the first suggested trial is cut off after the first epoch."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self._ledger, self._number = ledger, number
        self._folder = ledger.folder.trial(number).path

    def report(self, metrics: dict[str, float]) -> None:
        self._ledger.report(self._number, metrics)
        if self._number == SUGGESTED:
            raise Killed

    def save_checkpoint(self, state: dict) -> None:
        checkpoint.write(self._folder, state)

    def load_checkpoint(self) -> dict | None:
        return checkpoint.read_latest(self._folder)

    def export(self, encoder_state: dict, card: dict) -> None:
        export.write(self._folder, encoder_state, card)


def search_and_be_killed(command: Command) -> None:
    """What a driver does until it is killed in the first suggested trial, without the seconds that Ray takes."""
    study = load_study(command.working_folder / "study.yaml")
    command.sweep.path.mkdir(parents=True)
    resume.enter(command.sweep, study)
    store = StoredStudy(command.sweep.journal, study.sweep, space=study.space, epochs=study.run.training.epochs)
    ledger = Ledger(command.sweep, store, sweep=study.sweep, resolved=study.trial)
    data = load_data(study.run)
    while (number := ledger.next()) is not None:
        ledger.started(number)
        try:
            assembly.train(resolve(command.sweep.trial(number).config()["run"]), data, OnDisk(ledger, number))
        except Killed:
            return
        ledger.ended(number)


def test_cut_off_in_the_search_and_in_a_repeat_it_names_a_front_and_its_confirmation(tmp_path: Path) -> None:
    command = Command(tmp_path, TINY, of=yaml_file.parse(JOINT.read_text()))
    search_and_be_killed(command)
    assert [trial.last_epoch() for trial in command.sweep.trials()] == [2, 2, 1]
    ended = {n: command.sweep.trial(n).result_file.stat().st_mtime_ns for n in (0, 1)}
    command.start()
    command.kill_when(lambda: command.sweep.trial(FIRST_REPEAT).last_epoch() >= 1)
    assert all(command.results().values()), "repeats begin when the search is over"
    code, output, errors = command.run()
    assert code == 0, errors
    assert {n: command.sweep.trial(n).result_file.stat().st_mtime_ns for n in ended} == ended

    found = json.loads(command.sweep.confirmation.read_text())
    front = [standing.trial.number for standing in Standings(command.sweep).history[-1]]
    settings = [one["trial"] for one in found["settings"]]
    assert found["complete"]
    assert settings == list(dict.fromkeys([front[0], 0, 1]))
    repeats = command.sweep.repeats()
    assert [origin_and_place(trial.number) for trial in repeats] == [(n, p) for p in (1, 2) for n in sorted(settings)]
    assert "Pareto front of more val_knn/1 and less background_gap/1, on validation data: trial" in output
    assert (
        f"is complete: 3 of 3 trials ended (3 finished); 6 of 6 epochs were trained (100 %); {len(repeats)} of"
        in output
    )

    # What was cut off is still what its file alone says.
    for trial in (command.sweep.trial(SUGGESTED), repeats[0]):
        run = resolve(trial.config()["run"])
        alone = Surroundings()
        assembly.train(run, load_data(run), alone)
        assert timeless(trial.reports()) == timeless(alone.reports)
    seeds = [trial.config()["run"]["seed"] for trial in (command.sweep.trial(0), repeats[0])]
    assert seeds[0] != seeds[1] == found["seeds"][0]
    _check_mlflow(command, front, found)


def _check_mlflow(command: Command, front: list[int], found: dict) -> None:
    client = connect(f"sqlite:///{command.working_folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(command.sweep.name)
    assert experiment is not None
    runs = {run.data.tags["trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 1 + 3 + len(command.sweep.repeats())
    for trial in command.sweep.repeats():
        tags = runs[str(trial.number)].data.tags
        assert tags["augsweep.confirm_of"] == str(origin_and_place(trial.number)[0])
        assert tags["seed"] == str(trial.config()["run"]["seed"])
        assert tags["state"] == "finished"
    parent = runs["parent"].data
    assert parent.tags["state"] == "finished"
    assert parent.tags["front_trial"] == " ".join(map(str, front))
    assert parent.tags["front_run"].split() == [runs[str(number)].info.run_id for number in front]
    assert "best_trial" not in parent.tags
    ends = [trial.reports()[-1] for trial in command.sweep.trials()]
    assert parent.metrics["best/val_knn/1"] == max(report["val_knn/1"] for report in ends)
    assert parent.metrics["best/background_gap/1"] == min(report["background_gap/1"] for report in ends)
    for one in found["settings"]:
        mean = parent.metrics[f"confirmed/val_knn/1/trial {one['trial']}/mean"]
        assert mean == one["metrics"]["val_knn/1"]["mean"]
    assert "confirm.json" in {item.path for item in client.list_artifacts(runs["parent"].info.run_id)}
