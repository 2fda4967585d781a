"""`orchestrator.evaluate` on a real export over the embedded data: wiring, bookkeeping and mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from methods.parts.initial import init_weights
from orchestrator.config.run import resolve
from orchestrator.core import hardware
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.evaluate import __main__
from orchestrator.evaluate import suite as suites
from orchestrator.evaluate.runner import Evaluation, Runner
from orchestrator.evaluate.target import locate, subject, sweep_of
from orchestrator.probing import linear_probe
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import fingerprint
from orchestrator.probing.linear_probe import L2
from orchestrator.records import test_scores
from orchestrator.records.folder import SweepFolder, TrialFolder
from orchestrator.storage.path import parse
from orchestrator.tracking.mlflow.tracker import Tracker, send_scores
from orchestrator.training import assembly, export
from tests.orchestrator.invented_sweep import begin, end, invent, report

SCENES = {"name": "fashion_scenes", "rho": 0.9, "train_size": 1000, "validation_size": 100, "test_size": 300}


def finished_trial(folder: SweepFolder, number: int, dataset: dict | None = None) -> TrialFolder:
    """A trial whose encoder is drawn, not trained."""
    trial = begin(folder, number)
    raw = trial.config()["run"] | ({"dataset": dataset} if dataset else {})
    run = resolve(raw)
    trial.write_config(trial.config() | {"run": run.dump()})
    report(trial, *range(1, 7))
    end(trial, "finished")
    encoder = assembly.encoder(run)
    init_weights(encoder, number)
    card = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    export.write(trial.path, encoder.state_dict(), export.describe(run, card, {}))
    return trial


def run_ids(uri: str, experiment: str) -> dict[str, str]:
    """The MLflow runs of an experiment, by the number of the trial or `parent`."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len({run.data.tags["trial"] for run in runs}) == len(runs)
    return {run.data.tags["trial"]: run.info.run_id for run in runs}


def evaluation(trial: TrialFolder) -> Evaluation:
    """Evaluates a trial with the default suite of the command."""
    found = subject(str(trial.path), parse("sweeps"), "sqlite:///none.db")
    return Runner(found, suites.load("held_out", (), found.own, found.encoder.decoding)).run()


def values(found: Evaluation) -> dict[str, float]:
    return found.content["metrics"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """One evaluation on scenes whose background gives the class away in nine of ten training images."""
    folder = invent(tmp_path_factory.mktemp("sweeps") / "scenes", trials=1)
    return evaluation(finished_trial(folder, 0, SCENES))


def test_scores_cover_every_variant_of_every_protocol(evaluated: Evaluation) -> None:
    variants = find("orchestrator.datasets", "fashion_scenes").VARIANTS
    protocols = ("test_knn/1", "test_nearest/1", "linear_test/2", "linear_test_biased/2")
    found = values(evaluated)
    names = [f"{protocol}/{variant}" for protocol in protocols for variant in (*variants, "bg_gap")]
    assert set(found) == {name + end for name in names for end in ("", "_se")}
    for protocol in protocols:
        for variant in variants:
            share = found[f"{protocol}/{variant}"] / 100
            assert found[f"{protocol}/{variant}_se"] == pytest.approx(100 * (share * (1 - share) / 300) ** 0.5)
        gap = found[f"{protocol}/mixed_same"] - found[f"{protocol}/mixed_rand"]
        assert found[f"{protocol}/bg_gap"] == gap
        assert found[f"{protocol}/bg_gap_se"] > found[f"{protocol}/mixed_same_se"]


def test_every_number_says_of_what_and_how_it_was_made(evaluated: Evaluation) -> None:
    row = next(row for row in evaluated.content["scores"] if row["name"] == "test_knn/1/mixed_rand")
    assert row["protocol"] == "test_knn/1"
    assert row["split"] == "test/mixed_rand"
    assert (row["dataset"], row["fingerprint"]) == ("fashion_scenes", evaluated.content["data_fingerprint"])
    assert (row["note"], row["count"]) == ("k=20, T=0.1", 300)
    assert evaluated.content["encoder"] == fingerprint(evaluated.subject.encoder.network)


def test_biased_probe_takes_the_shortcut_that_the_unbiased_one_is_denied(evaluated: Evaluation) -> None:
    # An untrained encoder knows the background's colour and little else (reference: 73 / 16 against 22 / 22).
    biased, unbiased = (values(evaluated)[f"{name}/bg_gap"] for name in ("linear_test_biased/2", "linear_test/2"))
    assert biased > unbiased + 20


def test_linear_scores_agree_with_scikit_learn(evaluated: Evaluation) -> None:
    config = resolve(evaluated.subject.trial.config()["run"]).dataset
    data = EvaluationData("own", config, evaluated.subject.encoder, evaluated.subject.shelf.features)
    bank, test = data.features("bank"), data.features("test/mixed_rand")
    scaler = StandardScaler().fit(bank.values.numpy())
    # Its penalty is 1/2 |weight|^2 beside C times the summed cross-entropy.
    classifier = LogisticRegression(C=1 / (L2 * len(bank.labels)), max_iter=2000, tol=1e-8)
    classifier.fit(scaler.transform(bank.values.numpy()), bank.labels.numpy())
    theirs = 100 * classifier.score(scaler.transform(test.values.numpy()), test.labels.numpy())
    assert values(evaluated)["linear_test/2/mixed_rand"] == pytest.approx(theirs, abs=0.7)  # two images of 300


def test_second_evaluation_reads_features_and_counts_the_look(
    evaluated: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: object, split: str) -> None:
        raise AssertionError(f"{split} was decoded again")

    monkeypatch.setattr(find("orchestrator.datasets", "fashion_scenes"), "load", refuse)
    trial = evaluated.subject.trial
    before = len(test_scores.uses(sweep_of(trial).path))
    again = evaluation(trial)
    assert values(again) == values(evaluated)
    assert again.content["test_uses"] == before + 1
    assert again.content["encoders_tested"] == 1
    assert test_scores.read_scores(trial.path).metrics == values(again)


def test_truncated_feature_file_is_computed_again(evaluated: Evaluation) -> None:
    file = next(evaluated.subject.shelf.features.glob("*-bank.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    assert values(evaluation(evaluated.subject.trial)) == values(evaluated)


def test_probes_are_fitted_in_repeatable_arithmetic(evaluated: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, modes = linear_probe.fit_linear, []

    def watched(features: torch.Tensor, labels: torch.Tensor) -> linear_probe.LinearProbe:
        modes.append((torch.get_num_threads(), torch.get_deterministic_debug_mode()))
        return fit(features, labels)

    monkeypatch.setattr(linear_probe, "fit_linear", watched)
    monkeypatch.setattr(hardware, "device", lambda: torch.device("cpu"))
    evaluation(evaluated.subject.trial)
    assert modes == [(resolve(evaluated.subject.trial.config()["run"]).training.threads, 2)] * 2


def test_command_finds_a_trial_by_every_name_and_logs_to_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = invent(tmp_path / "sweeps" / "named", trials=2)
    finished_trial(folder, 0)
    best = finished_trial(folder, 1)  # invented values rise with the number
    tracker = Tracker(folder, uri)
    assert tracker.close(60.0) == []
    ids = run_ids(uri, "named")
    names = ["named", str(folder.path), str(best.path), ids["1"], ids["parent"]]
    assert [locate(name, parse("sweeps"), uri).path for name in names] == [best.path] * 5
    assert locate(ids["0"], parse("sweeps"), uri).number == 0

    assert __main__.main(["named"]) == 0
    said = capsys.readouterr().out
    content = json.loads((best.path / "test.json").read_text())
    run = MlflowClient(uri).get_run(ids["1"])
    assert run.info.status == "FINISHED"
    for name, value in content["metrics"].items():
        assert run.data.metrics[name] == value
    assert f"{content['metrics']['test_knn/1/original']:.1f} ±" in said
    assert content["data_fingerprint"] in said
    assert "used 1 time, on 1 encoder" in said
    assert MlflowClient(uri).get_run(ids["parent"]).data.tags["test_uses"] == "1"


def test_archived_sweep_is_found_by_its_runs_and_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = invent(tmp_path / "sweeps" / "again", trials=1)
    trial = begin(folder, 0)
    report(trial, *range(1, 7))
    end(trial, "finished")
    assert Tracker(folder, uri).close(60.0) == []
    ids = run_ids(uri, "again")
    aside = SweepFolder(folder.archive())
    invent(folder.path, trials=1).identity()
    assert locate(ids["0"], parse("sweeps"), uri).path == aside.trial(0).path
    test_scores.write_scores(aside.trial(0).path, {"metrics": {"test_knn/1/original": 50.0}})
    assert send_scores(aside, 0, uri) is None
    assert run_ids(uri, "again") == ids
    assert MlflowClient(uri).get_run(ids["0"]).data.metrics["test_knn/1/original"] == 50.0


def test_scores_stay_beside_the_trial_when_mlflow_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = finished_trial(invent(tmp_path / "alone", trials=1), 0)
    assert __main__.main([str(trial.path), "--tracking-uri", "http://127.0.0.1:9"]) == 0
    assert re.fullmatch(r"warning: MLflow at http://127.0.0.1:9 did not take .*\n", capsys.readouterr().err)
    assert (trial.path / "test.json").exists()


def test_other_data_than_those_of_training_are_refused(tmp_path: Path) -> None:
    trial = finished_trial(invent(tmp_path / "moved", trials=1), 0)
    card = json.loads(trial.encoder_card.read_text())
    card["data"]["fingerprint"] = "0" * 16
    trial.encoder_card.write_text(json.dumps(card))
    with pytest.raises(UserError, match="trained on data 0000000000000000, the data set is now"):
        evaluation(trial)


def test_folder_with_a_config_that_is_no_trial_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "config.yaml").write_text("run: {}")
    assert __main__.main([str(tmp_path / "copied"), "--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}"]) == 2
    assert re.fullmatch(r"error: .*/copied is no folder of a trial.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("mistake", ["no encoder", "torn encoder", "no finished trial"])
def test_mistake_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    folder = invent(tmp_path / "broken", trials=1)
    expected = "no finished trial yet"
    if mistake != "no finished trial":
        trial = finished_trial(folder, 0)
        if mistake == "no encoder":
            trial.encoder_weights.unlink()
            expected = "config.yaml trains it again"
        else:
            trial.encoder_weights.write_bytes(trial.encoder_weights.read_bytes()[:100])
            expected = "the exported encoder is damaged"
    assert __main__.main(["broken", "--storage", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert re.fullmatch(rf"error: .*{expected}.*\n", said.err)
    assert said.out == ""


def test_unknown_run_is_one_line_and_leaves_no_database(tmp_path: Path) -> None:
    unknown = "0123456789abcdef0123456789abcdef"
    store = ["--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}"]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.evaluate", unknown, *store], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(rf"error: {unknown} is no folder of a trial.*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []
