"""The public face holds all that users' modules need: one of every kind, written with it alone, does its work."""

import ast
import inspect
import re
import subprocess
import sys

import pytest

from orchestrator import extend
from orchestrator.config.sweep import read_sweep
from orchestrator.core.registry import find
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.frozen import FrozenEncoder, at_rest
from orchestrator.search.samplers import Seeds
from orchestrator.study.checks import check_run
from orchestrator.training import assembly
from tests.contracts.test_every_op import check_op
from tests.orchestrator.own_modules import MODULES
from tests.orchestrator.tiny_run import Surroundings, tiny_run


@pytest.fixture(autouse=True)
def mylab(tmp_path, monkeypatch):
    (tmp_path / "mylab").mkdir()
    for name, source in MODULES.items():
        (tmp_path / "mylab" / f"{name}.py").write_text(f'"""A user\'s module."""\n{source}')
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_nothing_else_of_ours(name):
    imports = [node for node in ast.walk(ast.parse(MODULES[name])) if isinstance(node, ast.ImportFrom)]
    ours = {node.module for node in imports if node.module.partition(".")[0] in ("augment", "methods", "orchestrator")}
    assert ours == {"orchestrator.extend"}


def own_run(**sections):
    return tiny_run(
        method={"name": "mylab.vicreg"},
        addons={"mylab.layer": {}, "augself": {"crop": 0.0, "color_jitter": 0.0, "hidden": 8, "mylab.invert": 0.5}},
        augment={"recipes": {"weak": {"crop": {}, "flip": {}}, "aggressive": {"mylab.invert": {}}}},
        evaluation={"mylab.spread": {}},
        training={"epochs": 1},
        **sections,
    )


def test_run_of_nothing_but_own_modules_trains():
    run = own_run(optimizer={"name": "mylab.rmsprop"})
    run = run.model_copy(update={"encoder": find("methods.encoders", "mylab.tiny").Config()})
    run = run.model_copy(update={"dataset": find("orchestrator.datasets", "mylab.noise").Config()})
    assert check_run(run) == []
    surroundings = Surroundings()
    assembly.train(run, assembly.load_data(run), surroundings)
    (report,) = surroundings.reports
    made = {"spread", "loss/mylab_layer", "mylab/weight", "loss/augself/mylab.invert", "loss/first-second"}
    assert made <= set(report)
    assert surroundings.exported[1]["encoder"] == {"name": "mylab.tiny"}


def test_own_method_and_op_keep_their_contracts():
    method = find("methods", "mylab.vicreg")
    assert set(method.plan(method.Config()).views) == {"first", "second"}
    assert isinstance(method.Method(method.Config(), find("methods.encoders", "mylab.tiny").build(None)), extend.Method)
    op = find("augment.ops", "mylab.invert")
    check_op(op, "mylab.invert")


def test_own_protocol_measures(tmp_path):
    network = find("methods.encoders", "mylab.tiny").build(None)
    encoder = FrozenEncoder("tiny", at_rest(network), 16, (0.5,) * 3, (0.3,) * 3)
    data = EvaluationData("noise", find("orchestrator.datasets", "mylab.noise").Config(), encoder, tmp_path)
    protocol = find("orchestrator.evaluate.protocols", "mylab.norm")
    (score,) = protocol.measure(encoder, data, protocol.Config())
    assert score.value > 0


def test_own_sampler_and_scheduler_are_read_from_the_file():
    section = {"name": "own", "trials": 2, "metric": "spread", "mode": "max"}
    sweep = read_sweep(section | {"sampler": {"name": "mylab.quasi"}, "scheduler": {"name": "mylab.median"}})
    assert sweep.rungs(4) == [2]
    module = find("orchestrator.search.samplers", sweep.sampler.name)
    assert module.sampler(sweep.sampler, Seeds(1, 2)) is not None


def test_every_name_is_documented():
    assert sorted(extend.__all__) == sorted(set(extend.__all__))
    for name in extend.__all__:
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", extend.__doc__), f"{name} is not in the docstring of extend.py"
        found = getattr(extend, name)
        if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
            assert inspect.getdoc(found), f"{name} has no docstring"


def test_face_brings_neither_ray_nor_mlflow_nor_optuna():
    code = "import sys, orchestrator.extend; print(sorted({'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
