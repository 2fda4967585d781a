"""Suites: what a file may say, what the runner makes of it, and what it tells of what it could not measure."""

import json
import re
import types

import pytest
import torch

from orchestrator.core.errors import UserError
from orchestrator.core.registry import find
from orchestrator.evaluate import __main__
from orchestrator.evaluate import suite as suites
from orchestrator.evaluate.runner import Runner
from orchestrator.evaluate.suites import names
from orchestrator.evaluate.target import Subject
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.records.test_scores import Shelf, read_scores
from orchestrator.storage.path import parse

OWN = {"name": "synthetic", "size": 8, "train_size": 60, "validation_size": 20, "test_size": 40}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text)
        return "mine.yaml"

    return written


def pixels(folder) -> Subject:
    network = torch.nn.Flatten()
    encoder = FrozenEncoder("pixels", network, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Subject(encoder, OWN, None, 1, Shelf(parse(folder), parse(folder), folder / "features"))


def measured(name: str, folder, *sets: str):
    return Runner(pixels(folder), suites.load(name, sets, OWN, {"size": 8})).run()


@pytest.mark.parametrize("name", names())
def test_suites_of_the_house_can_be_read(name):
    suite = suites.load(name, (), OWN, {"size": 32})
    assert suite.tasks
    for task in suite.tasks:
        assert set(task.on) <= set(suite.datasets)


def test_data_that_fit_any_size_are_decoded_at_the_encoders(write):
    file = write("datasets: {other: {name: synthetic}}\nprotocols: {knn: {data: [own, other]}}")
    suite = suites.load(file, ["datasets.own.seed=3"], OWN | {"size": 12}, {"size": 20})
    assert (suite.datasets["own"].size, suite.datasets["other"].size) == (12, 20)
    assert suite.datasets["own"].seed == 3


MISTAKES = {
    "protocols: {knm: {}}": r"protocols.knm: orchestrator.evaluate.protocols has no knm; did you mean knn\?",
    "protocols: {knn: {k: 3}}": "protocols.knn.k = 3: unknown key",
    "protocols: {knn: {data: pets}}": "protocols.knn.data = pets: must be a list of names of data sets",
    "protocols: {knn: {data: [pets]}}": r"protocols.knn.data = \[\"pets\"\]: datasets has no pets",
    "protocols: {}": "protocols: must name at least one protocol",
    "protocols: [knn]": r"protocols = \[\"knn\"\]: must be a mapping",
    "protocol: {knn: {}}": "protocol = .*unknown key; did you mean protocols",
    "datasets: {a: {name: cifar11}}\nprotocols: {knn: {data: [a]}}": "datasets.a.name = cifar11: .*did you mean cifar",
    "datasets: {a: 3}\nprotocols: {knn: {data: [a]}}": "datasets.a = 3: must be a mapping",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_in_a_suite_is_reported_with_its_place(write, text):
    with pytest.raises(UserError, match=rf"mine\.yaml: {MISTAKES[text]}"):
        suites.load(write(text), (), OWN, {"size": 8})


def test_unknown_suite_and_unknown_data_are_one_line(write):
    with pytest.raises(UserError, match=r"--suite helt_out: there is no such suite; did you mean held_out\?"):
        suites.load("helt_out", (), OWN, {"size": 8})
    with pytest.raises(UserError, match=r"protocols.knn.data: the data that the encoder was trained on are unknown"):
        suites.load(write("protocols: {knn: {}}"), (), None, {"size": 8})
    with pytest.raises(UserError, match=r"^--set protocols.knn.q = 1: unknown key"):
        suites.load(write("protocols: {knn: {}}"), ["protocols.knn.q=1"], OWN, {"size": 8})


def test_scores_of_several_suites_are_kept_together(write, tmp_path):
    first = measured(write("protocols: {knn: {}}"), tmp_path)
    file = write("datasets: {more: {name: synthetic, seed: 1}}\nprotocols: {nearest: {data: [own, more]}, knn: {}}")
    both = measured(file, tmp_path, "datasets.more.test_size=30")
    metrics = read_scores(parse(tmp_path)).metrics
    assert set(metrics) == {
        name + end
        for name in ("test_knn/1/original", "test_nearest/1/original", "test_nearest/1/more/original")
        for end in ("", "_se")
    }
    assert metrics["test_knn/1/original"] == first.content["metrics"]["test_knn/1/original"]
    assert {row["fingerprint"] for row in both.content["scores"]} == {row.fingerprint for row in both.rows}, (
        "numbers say of which data they are"
    )
    assert len({row["fingerprint"] for row in both.content["scores"]}) == 2


def test_failed_protocol_is_reported_and_the_rest_are_measured(write, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "flat.py").write_text(
        "import torch\nfrom orchestrator.probing.frozen import FrozenEncoder\n"
        "def flat(): return FrozenEncoder('flat', torch.nn.Flatten(), 8, (0.5,) * 3, (0.25,) * 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = {"datasets": {"own": OWN, "gone": {"name": "image_folder", "root": "nowhere"}}}
    text["protocols"] = {"nearest": {"data": ["gone", "own"]}, "linear_biased": {}}
    command = ["flat:flat", "--suite", write(json.dumps(text))]
    assert __main__.main(command) == 2
    said = capsys.readouterr()
    assert "test_nearest/1" in said.out
    assert "Not measured: linear_biased on own:" in said.out
    message = said.err.splitlines()[-1]
    assert re.fullmatch(r"error: nearest on gone: run.dataset.root = .*nowhere: there is no such file.*", message)


def test_diverged_encoder_is_refused_in_a_sentence(write, tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(192))
    network[1].running_mean.fill_(torch.nan)
    encoder = FrozenEncoder("nan", network.eval(), 8, (0.5,) * 3, (0.25,) * 3)
    subject = Subject(encoder, OWN, None, 1, Shelf(parse(tmp_path), parse(tmp_path), tmp_path / "features"))
    found = Runner(subject, suites.load(write("protocols: {nearest: {}, linear: {}}"), (), OWN, {"size": 8})).run()
    assert [one.reason for one in found.unscored] == [
        "some features are not finite; the encoder has diverged or is damaged"
    ] * 2


def test_protocol_that_trains_the_encoder_is_found_out(write, tmp_path, monkeypatch):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(192))
    encoder = FrozenEncoder("norm", network.eval(), 8, (0.5,) * 3, (0.25,) * 3)
    spoilt = types.ModuleType("spoilt")
    spoilt.PROTOCOL = "spoilt/1"

    def measure(encoder: FrozenEncoder, data: object, config: object) -> list[Score]:
        encoder.network[1].running_mean.add_(1)
        return [Score("test/original", "accuracy", 1.0, None, 1)]

    spoilt.measure = measure
    monkeypatch.setattr(
        "orchestrator.evaluate.runner.find",
        lambda package, name: spoilt if name == "nearest" else find(package, name),
    )
    subject = Subject(encoder, OWN, None, 1, Shelf(parse(tmp_path), parse(tmp_path), tmp_path / "features"))
    with pytest.raises(RuntimeError, match="spoilt/1 changed the encoder"):
        Runner(subject, suites.load(write("protocols: {nearest: {}}"), (), OWN, {"size": 8})).run()
