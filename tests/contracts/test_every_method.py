"""The contract of every method module in `methods/`; new modules are tested automatically."""

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

import methods
from augment import draws
from augment.config import Config
from augment.views import View
from methods.contract import Losses, Method
from methods.encoders import resnet
from methods.objective import Objective
from methods.parts.initial import init_weights
from tests.methods.unread import without_values

PAGES = {"contract", "objective"}  # shared modules that are not methods
MODULES = [
    importlib.import_module(f"methods.{entry.name}")
    for entry in pkgutil.iter_modules(methods.__path__)
    if not entry.ispkg and entry.name not in PAGES
]
# Small networks and queues that keep the suite fast, and variants of a method that need their own test.
SETTINGS: dict[str, list[dict]] = {
    "moco_v2": [{"queue_size": 6}, {"queue_size": 6, "symmetric": True}],
    "simsiam": [{"outputs": 16, "bottleneck": 8}],
    "supervised": [{"num_classes": 3}],
    "swav": [{"projector_hidden": 16, "queue_size": 6, "queue_start": 0.1, "small_views": 2}],
}
CASES = [
    pytest.param(module, settings, id=" ".join([name, *map(str, settings.values())]))
    for module in MODULES
    for name in [module.__name__.rpartition(".")[2]]
    for settings in SETTINGS.get(name, [{}])
]
HOOKS = {name for name, hook in vars(Method).items() if inspect.isfunction(hook) and not name.startswith("_")}
BATCH = 4


def build(module: ModuleType, settings: dict) -> Objective:
    config = module.Config(**settings)
    method = module.Method(config, resnet.build(resnet.Config(depth=8, width=0.25)))
    init_weights(method, 0)
    return Objective(method, module.plan(config), {})


def step(objective: Objective, seed: int = 0) -> Losses:
    views = {name: View(draws.normal(seed, name, (BATCH, 3, 8, 8))) for name in objective.plan.views}
    return objective(views, torch.arange(BATCH) % 2, torch.tensor(0.5))


def check_method(module: ModuleType) -> None:
    """Raises an AssertionError that names the broken rule if a module is not a valid method."""
    name = module.__name__.rpartition(".")[2]
    config = getattr(module, "Config", None)
    assert isinstance(config, type), f"{name} defines no Config"
    assert issubclass(config, Config), f"{name}.Config is not a subclass of augment.config.Config"
    assert config().name == name, f"{name}.Config calls itself {config().name}"
    assert inspect.isfunction(getattr(module, "plan", None)), f"{name} defines no plan(config)"
    method = getattr(module, "Method", None)
    assert isinstance(method, type), f"{name} defines no Method"
    missing = sorted(HOOKS - set(dir(method)))
    assert not missing, f"{name}.Method lacks {', '.join(missing)}"
    for public in (module, config, module.plan, method):
        assert inspect.getdoc(public), f"{name}: {public} has no docstring"
    assert "Source:" in inspect.getdoc(method), f"{name}.Method names no source"


def test_there_are_methods():
    names = {module.__name__.rpartition(".")[2] for module in MODULES}
    assert names >= {"byol", "moco_v2", "simclr", "simsiam", "supervised", "swav"}


@pytest.mark.parametrize(("module", "settings"), CASES)
class TestEveryMethod:
    def test_is_a_method(self, module, settings):
        check_method(module)
        assert isinstance(build(module, settings).method, Method)

    def test_views_are_named_recipes(self, module, settings):
        for name, view in build(module, settings).plan.views.items():
            assert name.isidentifier()
            assert set(view.recipe) <= {"weak", "small", "aggressive"}

    def test_groups_hold_every_trained_weight_once(self, module, settings):
        objective = build(module, settings)
        grouped = [id(parameter) for group in objective.parameter_groups() for parameter in group["params"]]
        trained = [id(parameter) for parameter in objective.parameters() if parameter.requires_grad]
        assert sorted(grouped) == sorted(trained)

    def test_loss_reaches_every_trained_weight(self, module, settings):
        objective = build(module, settings)
        step(objective).total.backward()
        for name, parameter in objective.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name

    def test_forward_changes_norms_only(self, module, settings):
        objective = build(module, settings)
        before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
        first, second = step(objective), step(objective)
        assert first.total == second.total
        changed = {name for name, tensor in objective.state_dict().items() if not torch.equal(tensor, before[name])}
        assert changed
        assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)

    def test_state_dict_carries_everything(self, module, settings):
        one, other = (build(module, settings) for _ in range(2))
        step(one, seed=1).total.backward()
        with torch.no_grad():
            for parameter in one.parameters():
                parameter += 0.1
        one.after_step(torch.tensor(0.6), step(one, seed=2).keys)
        other.load_state_dict(one.state_dict())
        assert torch.equal(step(one).total, step(other).total)
        for objective in (one, other):
            objective.after_step(torch.tensor(0.7), step(objective, seed=3).keys)
        assert torch.equal(step(one).total, step(other).total)

    def test_a_step_never_waits_for_the_device(self, module, settings):
        objective = build(module, settings)
        with without_values():
            views = {name: View(torch.empty(BATCH, 3, 8, 8)) for name in objective.plan.views}
            progress = torch.empty(())
            result = objective(views, torch.empty(BATCH, dtype=torch.int64), progress)
            result.total.backward()
            objective.after_step(progress, result.keys)
            with pytest.raises(DataDependentOutputException):
                result.total.item()

    def test_parts_are_numbers_and_the_loss_is_finite(self, module, settings):
        losses = step(build(module, settings))
        assert losses.total.isfinite()
        assert all(part.ndim == 0 and not part.requires_grad for part in losses.parts.values())


GOOD = '''"""A method."""
from methods.byol import Method as Byol, plan
from augment.config import Config as Base
class Config(Base):
    """Nothing."""
    name: str = "planted"
class Method(Byol):
    """Source: here."""
'''


def planted(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imports the source as a module outside our packages."""
    (folder / "planted.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    return importlib.import_module("planted")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Config(Base)", "class Settings(Base)"), "defines no Config"),
        (("class Config(Base)", "class Config"), "not a subclass of augment.config.Config"),
        (('"planted"', '"other"'), "calls itself other"),
        (("as Byol, plan", "as Byol"), r"defines no plan\(config\)"),
        (("class Method(Byol)", "class Trainer(Byol)"), "defines no Method"),
        (("class Method(Byol)", "class Method"), "lacks after_step, encode, key, pair_loss, parameter_groups"),
        (("Source: here.", "From memory."), "names no source"),
        (('"""A method."""', ""), "has no docstring"),
    ],
)
def test_malformed_module_is_rejected(tmp_path, monkeypatch, change, message):
    with pytest.raises(AssertionError, match=message):
        check_method(planted(GOOD.replace(*change), tmp_path, monkeypatch))


def test_well_formed_module_is_accepted(tmp_path, monkeypatch):
    check_method(planted(GOOD, tmp_path, monkeypatch))
