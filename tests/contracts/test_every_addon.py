"""The contract of every module in `methods/addons/`, checked with every method."""

import importlib
import inspect
import pkgutil
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from augment import draws, separation
from augment.config import Config
from augment.ops import color_jitter, crop, flip
from augment.pipeline import Pipeline
from augment.views import Batch, Step
from methods import addons
from methods.contract import AddOn
from methods.encoders import resnet
from methods.objective import Objective
from methods.parts.initial import init_weights
from tests.contracts.test_every_method import CASES as METHODS
from tests.contracts.test_every_method import planted

MODULES = [importlib.import_module(f"methods.addons.{entry.name}") for entry in pkgutil.iter_modules(addons.__path__)]
RECIPES = {
    "weak": [Step("crop", crop, crop.Config()), Step("flip", flip, flip.Config())],
    "small": [Step("crop", crop, crop.Config())],
    "aggressive": [Step("color_jitter", color_jitter, color_jitter.Config())],
}


def batch(how: separation.Config) -> Batch:
    """Noise with a square in the foreground, and a bank of such images."""
    images = (255 * draws.uniform(0, "images", (4, 3, 8, 8))).to(torch.uint8)
    masks = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    masks[..., 3:6, 2:7] = 255
    backgrounds = separation.completed(images, masks, how)
    bank = separation.bank(images, masks, backgrounds, area=how.area, rows=torch.arange(4), count=4)
    return Batch(images / 255, masks / 255, bank.backgrounds / 255, lenders=separation.lenders(masks), bank=bank)


def check_addon(module: ModuleType) -> None:
    """Raises an AssertionError that names the broken rule if a module is not a valid add-on."""
    name = module.__name__.rpartition(".")[2]
    config = getattr(module, "Config", None)
    assert isinstance(config, type), f"{name} defines no Config"
    assert issubclass(config, Config), f"{name}.Config is not a subclass of augment.config.Config"
    config()  # every field has a default, so that `addons: {name: {}}` is enough
    assert isinstance(module, AddOn), f"{name} defines no rewrite"
    wanted = list(inspect.signature(AddOn.rewrite).parameters)[1:]  # modules have no self
    assert list(inspect.signature(module.rewrite).parameters) == wanted, f"{name}.rewrite takes other arguments"
    assert "Source:" in (inspect.getdoc(module.rewrite) or ""), f"{name}.rewrite names no source"


def test_there_are_addons():
    assert {module.__name__ for module in MODULES} >= {
        "methods.addons.msr",
        "methods.addons.augself",
        "methods.addons.background",
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_is_an_addon(module):
    check_addon(module)


@pytest.mark.parametrize(("method", "settings"), METHODS)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_rewritten_plan_trains_or_is_refused_by_name(module, method, settings):
    config = method.Config(**settings)
    networks = method.Method(config, resnet.build(resnet.Config(depth=8, width=0.25)))
    init_weights(networks, 0)
    plan = replace(method.plan(config), recipes=RECIPES)
    before = repr(plan)
    try:
        rewritten = module.rewrite(plan, module.Config())
    except ValueError as refusal:
        if module.__name__.rpartition(".")[2] not in str(refusal):
            pytest.fail(f"the error does not name the add-on: {refusal}")
        return
    assert repr(plan) == before, "rewrite changed its input plan"
    for name, spec in rewritten.views.items():
        assert name.isidentifier()
        assert spec.parent is None or list(rewritten.views).index(spec.parent) < list(rewritten.views).index(name)
    own = getattr(module, "Loss", None)
    losses = {} if own is None else {"own": own(module.Config(), networks.encoder.num_features, rewritten)}
    objective = Objective(networks, rewritten, losses)
    pipeline = Pipeline(rewritten.views, rewritten.recipes, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), seed=0)
    views = pipeline(batch(rewritten.separation), torch.arange(4), 1)
    losses = objective(views, torch.arange(4) % 2, torch.tensor(0.5))
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)
    objective.after_step(torch.tensor(0.6), losses.keys)


GOOD = '''
from augment.config import Config as Base
class Config(Base):
    weight: float = 1.0
def rewrite(plan, config):
    """Source: here."""
    return plan
'''


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Config(Base)", "class Settings(Base)"), "defines no Config"),
        (("class Config(Base)", "class Config"), "not a subclass of augment.config.Config"),
        (("def rewrite", "def change"), "defines no rewrite"),
        (("(plan, config)", "(config, plan)"), "takes other arguments"),
        (("Source", "Idea"), "names no source"),
    ],
)
def test_malformed_module_is_rejected(tmp_path, monkeypatch, change, message):
    with pytest.raises(AssertionError, match=message):
        check_addon(planted(GOOD.replace(*change), tmp_path, monkeypatch))


def test_well_formed_module_is_accepted(tmp_path, monkeypatch):
    check_addon(planted(GOOD, tmp_path, monkeypatch))
