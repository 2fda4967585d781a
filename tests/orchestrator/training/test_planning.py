"""A plan is asked of the method's module: no network is built for it, and nothing below the commands asks the root."""

import ast
import sys
import types
from pathlib import Path

import pytest

from methods import byol
from methods.encoders import resnet
from orchestrator.core.errors import UserError
from orchestrator.study.checks import check_settings
from orchestrator.training import planning
from tests.orchestrator.tiny_run import tiny_run

ROOT = "orchestrator.training.assembly"
# The commands, and what a worker starts.
MAY_ASSEMBLE = tuple(f"orchestrator/{room}" for room in ("sweep/", "evaluate/", "profile/", "training/trial.py"))


def test_plan_builds_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a network was built")

    monkeypatch.setattr(resnet, "build", refuse)
    monkeypatch.setattr(byol, "Method", refuse)
    assert list(planning.plan(tiny_run()).views) == ["first", "first_aggressive", "second", "second_aggressive"]


@pytest.fixture
def own_method(monkeypatch):
    """Plants a user's method, `mylab.method`, without its `plan`."""
    module = types.ModuleType("mylab.method")
    module.Config, module.Method = byol.Config, byol.Method
    monkeypatch.setitem(sys.modules, "mylab", types.ModuleType("mylab"))
    monkeypatch.setitem(sys.modules, "mylab.method", module)
    return module


def test_method_whose_plan_is_still_a_hook_is_refused_in_one_line(own_method):
    (mistake,) = check_settings(tiny_run(method={"name": "mylab.method"}, addons={}))
    assert str(mistake) == (
        "run.method.name = mylab.method: its module must define plan(config) -> Plan; Method.plan(self) is no longer "
        "called, so move it out of the class"
    )


def test_settings_that_a_plan_rejects_are_a_mistake_of_the_file(own_method):
    def plan(config):
        raise ValueError("two views are too few")

    own_method.plan = plan
    (mistake,) = check_settings(tiny_run(method={"name": "mylab.method"}, addons={}))
    assert str(mistake) == "run.method: two views are too few"


def test_settings_that_a_constructor_rejects_are_named(own_method):
    from orchestrator.training import assembly

    def reject(config, encoder):
        raise ValueError("hidden must be even")

    own_method.plan, own_method.Method = byol.plan, reject
    (mistake,) = check_settings(tiny_run(method={"name": "mylab.method", "hidden": 17}, addons={}))
    assert str(mistake) == "run.method: hidden must be even"
    with pytest.raises(UserError, match=r"^run\.method: hidden must be even$"):
        assembly.objective(tiny_run(method={"name": "mylab.method"}, addons={}))


def test_only_commands_and_workers_call_the_composition_root():
    callers = {
        str(file)
        for file in Path("orchestrator").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module == ROOT or _takes_root(node)))
    }
    assert callers
    assert [file for file in sorted(callers) if not file.startswith(MAY_ASSEMBLE)] == []


def _takes_root(node: ast.ImportFrom) -> bool:
    return node.module == "orchestrator.training" and any(name.name == "assembly" for name in node.names)
