"""The contract of every module in `orchestrator/search/schedulers/`."""

import importlib
from types import ModuleType

import pytest

from orchestrator.core.registry import names
from orchestrator.search.schedulers import asha, none

NAMES = names("orchestrator.search.schedulers")


def load(name: str) -> ModuleType:
    return importlib.import_module(f"orchestrator.search.schedulers.{name}")


def test_there_are_schedulers():
    assert {"asha", "none"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 12, 100])
def test_rungs_rise_and_end_before_the_budget(name: str, epochs: int) -> None:
    module = load(name)
    assert module.__doc__
    assert module.Config().name == name
    rungs = module.rungs(module.Config(), epochs)
    assert rungs == sorted(set(rungs))
    assert all(1 <= rung < epochs for rung in rungs)


@pytest.mark.parametrize("name", NAMES)
def test_best_trial_at_a_rung_is_never_stopped(name: str) -> None:
    module = load(name)
    costs = {0: 3.0, 4: -1.0, 2: 7.0, 9: 0.5}
    assert not module.should_stop(module.Config(), 4, costs)
    assert not module.should_stop(module.Config(), 2, {2: 7.0}), "the first trial to reach a rung must continue"


@pytest.mark.parametrize(
    ("grace", "reduction", "epochs", "rungs"),
    [(1 / 3, 2, 12, [4, 8]), (1 / 3, 3, 12, [4]), (0.5, 2, 4, [2]), (1.0, 2, 5, []), (0.01, 3, 10, [1, 3, 9])],
)
def test_asha_has_its_first_rung_after_the_grace(grace: float, reduction: int, epochs: int, rungs: list[int]) -> None:
    assert asha.rungs(asha.Config(grace=grace, reduction=reduction), epochs) == rungs
    assert none.rungs(none.Config(), epochs) == []
