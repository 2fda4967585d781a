"""What `orchestrator.evaluate` can be pointed at beside a sweep's trials, and what it says of what it cannot."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from torchvision import models

from methods.parts.initial import init_weights
from orchestrator.core.registry import find
from orchestrator.evaluate import __main__, third_party
from orchestrator.evaluate.target import subject
from orchestrator.storage.path import parse
from orchestrator.training import assembly, checkpoint, export
from tests.orchestrator.tiny_run import tiny_run

SMALL = ("name=synthetic", "size=16", "train_size=60", "validation_size=20", "test_size=40")
DATA = [f"--set=datasets.own.{setting}" for setting in SMALL]
PAGE = torch.zeros(1, 3, 32, 32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # no server: only a warning, without delay
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a mistake."""
    assert __main__.main(list(arguments)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"error: .*\n", said.err)
    return said.err


def loaded(name: str, size: int | None = None):
    return subject(name, parse("sweeps"), "sqlite:///none.db", size=size).encoder


def test_models_of_torchvision_are_scored_and_logged_as_runs_of_their_own(folder, capsys) -> None:
    store = f"sqlite:///{folder / 'mlflow.db'}"
    command = ["torchvision:resnet18@random", "--size", "32", "--tracking-uri", store, *DATA]
    for times in (1, 2):
        assert __main__.main(command) == 0
        assert f"has been used {times} time" in capsys.readouterr().out
    (file,) = (folder / "sweeps/evaluations").glob("torchvision-resnet18-random-*/test.json")
    content = json.loads(file.read_text())
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("evaluations")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "torchvision:resnet18@random"
    assert run.info.status == "FINISHED"
    assert run.data.metrics == content["metrics"]
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["test.json"]


def test_weights_of_a_file_are_found_behind_what_stands_before_their_names(folder) -> None:
    theirs = models.resnet18(weights=None)
    init_weights(theirs, seed=3)
    body = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    torch.save({"epoch": 800, "state_dict": {f"module.encoder_q.{key}": body[key] for key in body}}, "moco.pth")
    ours = loaded("torchvision:resnet18@moco.pth", 32)
    theirs.fc = torch.nn.Identity()
    assert torch.equal(ours.network(PAGE), theirs.eval()(PAGE))
    assert ours.head is None

    both = {f"{which}.{key}": value + (which == "k") for which in "qk" for key, value in body.items()}
    torch.save(both, "both.pth")
    assert torch.equal(loaded("torchvision:resnet18@both.pth#q.", 32).network(PAGE), theirs(PAGE))


def test_own_head_is_kept_where_it_was_trained_on_imagenet(monkeypatch) -> None:
    def fetch(name: str, weights: object) -> torch.nn.Module:
        return models.resnet18(weights=None)

    monkeypatch.setattr(third_party.models, "get_model", fetch)
    encoder = loaded("torchvision:resnet18")
    assert (encoder.size, encoder.label_space) == (224, "imagenet1k")
    assert encoder.head(encoder.network(PAGE)).shape == (1, 1000)
    before = encoder.fingerprint_now()
    encoder.head.weight.add_(1)
    assert encoder.fingerprint_now() != before, "the head is part of what is measured"
    assert encoder.network(PAGE).shape == (1, 512)


def test_function_of_a_user_is_asked(folder, monkeypatch) -> None:
    source = (
        "import torch\nfrom orchestrator.probing.frozen import FrozenEncoder\n"
        "def flat(): return FrozenEncoder('flat', torch.nn.Flatten(), 16, (0.5,) * 3, (0.25,) * 3)\n"
        "def wrong(): return torch.nn.Flatten()\n"
        "def maps(): return FrozenEncoder('maps', torch.nn.Identity(), 16, (0.5,) * 3, (0.25,) * 3)\n"
    )
    (folder / "my_encoders.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_encoders", raising=False)
    assert __main__.main(["my_encoders:flat", *DATA]) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision:resnet19", "no model resnet19; did you mean resnet18?"),
        ("torchvision:resnet18@none.pth", "none.pth: there is no such file of weights"),
        ("torchvision:resnet18@text.pth", "text.pth: cannot be read"),
        ("torchvision:resnet18@tiny.pth", "not of this network: there is no conv1.weight"),
        ("torchvision:resnet18@wide.pth", r"conv1.weight is \(9, 3, 7, 7\), and \(64, 3, 7, 7\) must hold"),
        ("torchvision:resnet18@both.pth", "holds 2 such networks; say which one: both.pth#k., both.pth#q."),
        ("torchvision:squeezenet1_0@random", "does not end in a linear layer"),
        ("torchvision:vit_b_32@random", "initial weights are known for"),
        ("small:encoder", "it does not take images of 16 px"),
        ("nowhere:encoder", "cannot be called .*No module named 'nowhere'"),
        ("builtins:dict", "must return an orchestrator.probing.frozen.FrozenEncoder, and returned dict"),
    ],
)
def test_encoder_that_cannot_be_loaded_is_one_line(capsys, monkeypatch, name: str, expected: str) -> None:
    state = models.resnet18(weights=None).state_dict()
    Path("text.pth").write_text("weights")
    Path("small.py").write_text(
        "import torch\nfrom orchestrator.probing.frozen import FrozenEncoder\n"
        "def encoder(): return FrozenEncoder('small', torch.nn.Linear(5, 5), 16, (0.5,) * 3, (0.25,) * 3)\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    torch.save({"weight": torch.ones(3)}, "tiny.pth")
    torch.save(state | {"conv1.weight": torch.ones(9, 3, 7, 7)}, "wide.pth")
    torch.save({f"{which}.{key}": value for which in "qk" for key, value in state.items()}, "both.pth")
    assert re.search(expected, refused(capsys, name, "--size", "48", *DATA))


def test_exported_encoder_is_scored_wherever_it_lies(folder, capsys) -> None:
    run = tiny_run()
    encoder = assembly.encoder(run)
    init_weights(encoder, 1)
    card = find("orchestrator.datasets", run.dataset.name).card(run.dataset)
    (folder / "given").mkdir()
    export.write(folder / "given", encoder.state_dict(), export.describe(run, card, {}))
    there = [loaded(name).fingerprint for name in ("given", "given/encoder.safetensors")]
    assert __main__.main(["given"]) == 0
    (file,) = (folder / "sweeps/evaluations").glob("given-*/test.json")
    assert there == [json.loads(file.read_text())["encoder"]] * 2


def test_checkpoint_of_a_training_that_goes_on_is_scored_apart_from_its_trial(folder) -> None:
    run = tiny_run()
    trial = folder / "sweeps/running/trials/0003"
    trial.mkdir(parents=True)
    (trial / "config.yaml").write_text(json.dumps({"run": run.dump()}))
    objective = assembly.objective(run)
    checkpoint.write(trial, {"step": 12, "objective": objective.state_dict()})
    assert __main__.main([str(trial / "checkpoint-00000012.pt")]) == 0
    content = json.loads((trial / "evaluations/checkpoint-00000012/test.json").read_text())
    assert content["subject"] == "running, trial 3, checkpoint-00000012.pt"
    assert not (trial / "test.json").exists()
