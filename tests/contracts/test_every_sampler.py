"""The contract of every module in `orchestrator/search/samplers/`."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from optuna.samplers import BaseSampler

from orchestrator.config.search_space import Choice, Dimension, Range, Space
from orchestrator.config.sweep import read_sweep
from orchestrator.core.registry import names
from orchestrator.search.samplers import Seeds
from orchestrator.search.study import StoredStudy

NAMES = names("orchestrator.search.samplers")
SPACE = Space(
    (
        Dimension("x", Range("uniform", 0.0, 1.0)),
        Dimension("kind", Choice(("plain", "steps"))),
        Dimension("steps", Range("int", 1, 8), when={"kind": ("steps",)}),
    )
)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"orchestrator.search.samplers.{name}")


def study(folder: Path, name: str) -> StoredStudy:
    section = {"name": "s", "trials": 20, "metric": "score", "sampler": {"name": name}, "scheduler": {"name": "none"}}
    return StoredStudy(folder / "study.journal", read_sweep(section), space=SPACE, epochs=3)


def search(folder: Path, name: str, *, reopened: bool) -> list[dict]:
    folder.mkdir()
    one, seen = study(folder, name), []
    for number in range(16):
        one = study(folder, name) if reopened else one
        assert one.ask() == number
        seen.append(one.values(number))
        one.report(number, seen[-1]["x"], 1)
        one.tell(number, *(("stopped",) if number % 4 == 3 else ("finished", [seen[-1]["x"]])))
    return seen


def test_there_are_samplers():
    assert {"tpe", "random"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_sampler_is_one_of_optunas_and_says_its_name(name: str) -> None:
    module = load(name)
    assert module.__doc__
    assert module.Config().name == name
    assert isinstance(module.sampler(module.Config(), Seeds(draw=1, sweep=2)), BaseSampler)


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_in_the_space_and_do_not_depend_on_the_process_that_asks(name: str, tmp_path: Path) -> None:
    seen = search(tmp_path / "one", name, reopened=False)
    assert seen == search(tmp_path / "many", name, reopened=True)
    assert len({values["x"] for values in seen}) == 16
    for values in seen:
        assert SPACE.dimensions[0].domain.holds(values["x"])
        assert ("steps" in values) == (values["kind"] == "steps")


def test_configs_are_read_without_optuna() -> None:
    modules = [f"orchestrator.search.samplers.{name}" for name in NAMES]
    code = f"import sys, {', '.join(modules)}; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
