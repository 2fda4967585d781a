"""The contract of every module in `orchestrator/evaluate/protocols/`; new modules are tested automatically."""

import math
import re
import types
from pathlib import Path

import pytest
import torch

from augment.config import Config
from methods.encoders import resnet
from methods.parts.initial import init_weights
from orchestrator.core.registry import find, names
from orchestrator.datasets import fashion_scenes
from orchestrator.evaluate.protocols import nearest
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder, fingerprint
from orchestrator.probing.score import Score

PACKAGE = "orchestrator.evaluate.protocols"
DATA = fashion_scenes.Config(train_size=100, validation_size=60, test_size=60)
# Settings that keep the suite fast; a protocol that is not listed runs with its defaults.
SETTINGS: dict[str, dict[str, object]] = {
    "adversarial": {"eps": (4.0,), "steps": 2, "queries": 3, "images": 20},
    "background_challenge": {"foregrounds": 10, "backgrounds": 10},
    "corruptions": {"levels": (3,), "images": 10},
    "few_shot": {"tasks": 5, "queries": 2},
    "limited_labels": {"percents": (10,), "epochs": 1},
    "linear_sgd": {"epochs": 1},
}
NAME = re.compile(r"[a-z_0-9]+/\d+")


@pytest.fixture(scope="module")
def encoder() -> FrozenEncoder:
    network = resnet.build(resnet.Config(depth=8, width=0.25, stem="imagenet"))
    init_weights(network, 0)
    card = fashion_scenes.card(DATA)
    return FrozenEncoder("tiny", network.eval().requires_grad_(False), card.size, card.mean, card.std)


def check_protocol(
    module: types.ModuleType, encoder: FrozenEncoder, folders: tuple[Path, Path], **settings: object
) -> None:
    """Asserts all properties that the runner, the tables and MLflow rely on."""
    assert issubclass(module.Config, Config)
    module.Config()  # every field has a default, so `knn: {}` is enough
    config = module.Config(**settings)
    assert NAME.fullmatch(module.PROTOCOL), "a protocol's name ends in its version"
    assert module.__doc__
    assert module.measure.__doc__
    before, generator = fingerprint(encoder.network), torch.get_rng_state()
    found = module.measure(encoder, EvaluationData("own", DATA, encoder, folders[0]), config)
    assert fingerprint(encoder.network) == before, "protocols must not change the encoder"
    assert torch.equal(torch.get_rng_state(), generator), "random numbers must come from augment.draws"
    assert found, "scenes have labels, masks and variants, so every protocol must return scores"
    places = [(score.split, score.metric) for score in found]
    assert len(set(places)) == len(places), "split and metric must identify a score"
    for score in found:
        check_score(score)
    again = module.measure(encoder, EvaluationData("own", DATA, encoder, folders[1]), config)
    assert again == found, "equal encoders and data must give equal scores"


def check_score(score: Score) -> None:
    """Asserts that a score can be reported."""
    assert score.split == "test" or score.split.startswith("test/"), "scores must be of test data"
    assert score.split in ("test", *fashion_scenes.card(DATA).splits)
    assert isinstance(score.value, float)
    assert math.isfinite(score.value)
    if score.metric in ("accuracy", "mean_per_class"):
        assert 0 <= score.value <= 100
    assert score.error is None or (math.isfinite(score.error) and score.error >= 0)
    assert score.count > 0
    assert re.fullmatch(r"[\w./ =-]+", score.metric), "MLflow allows no other characters"


def test_all_protocols_are_found():
    assert len(names(PACKAGE)) >= 14


def test_protocol_names_are_unique():
    versions = [find(PACKAGE, name).PROTOCOL for name in names(PACKAGE)]
    assert len(set(versions)) == len(versions)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of cached features, shared by all protocols."""
    return tmp_path_factory.mktemp("features")


@pytest.mark.parametrize("name", names(PACKAGE))
def test_protocol_keeps_the_contract(name, encoder, shared, tmp_path):
    check_protocol(find(PACKAGE, name), encoder, (shared, tmp_path), **SETTINGS.get(name, {}))


def training(encoder, data, config):
    encoder.network.conv1.weight.data += 1
    return nearest.measure(encoder, data, config)


def drawing(encoder, data, config):
    noise = torch.rand(()).item()
    return [Score("test/original", "accuracy", noise, None, 1)]


def twice(encoder, data, config):
    return 2 * nearest.measure(encoder, data, config)


@pytest.mark.parametrize(
    "broken",
    [
        {"PROTOCOL": "test_nearest"},
        {"Config": type("Config", (), {})},
        {"measure": training},
        {"measure": drawing},
        {"measure": twice},
        {"measure": lambda encoder, data, config: []},
        {"measure": lambda encoder, data, config: [Score("validation", "accuracy", 1.0, None, 1)]},
        {"measure": lambda encoder, data, config: [Score("test/original", "accuracy", math.nan, None, 1)]},
        {"measure": lambda encoder, data, config: [Score("test/original", "accuracy", 101.0, None, 1)]},
    ],
)
def test_malformed_protocol_is_rejected(broken, encoder, tmp_path):
    module = types.ModuleType("malformed", "A copy of a valid module with one defect.")
    vars(module).update({**vars(nearest), **broken, "__name__": "malformed"})
    if "measure" in broken:
        module.measure.__doc__ = "Wrong."
    with pytest.raises(AssertionError):
        check_protocol(module, encoder, (tmp_path / "one", tmp_path / "two"))
