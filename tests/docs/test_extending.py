"""The method that docs/extending.md adds works as printed: by the contract, by another implementation, in the loop."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lightly.loss import VICRegLoss

from augment import draws
from methods.contract import Encoded
from orchestrator.study.study_file import load_study
from orchestrator.training import assembly
from tests.contracts import test_every_method as contract
from tests.docs.pages import ROOT, blocks
from tests.orchestrator.tiny_run import Surroundings, tiny_run
from tests.ranks import on_ranks

PAGE = ROOT / "docs" / "extending.md"
LAWS = [name for name in vars(contract.TestEveryMethod) if name.startswith("test_")]
SMALL = {"outputs": 16}


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """A folder of the user's that modules are imported from, here and in other processes."""
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield tmp_path
    for name in ("mylab", "mylab.vicreg"):
        sys.modules.pop(name, None)


@pytest.fixture
def vicreg(user_folder):
    """The page's module."""
    return make_module(user_folder, blocks(PAGE, "python")[0])


def make_module(folder: Path, source: str) -> ModuleType:
    """Imports a source as `mylab.vicreg`."""
    (folder / "mylab" / "vicreg.py").write_text(source, encoding="utf-8")
    return importlib.import_module("mylab.vicreg")


def loss_and_gradient(vicreg, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of two batches of projections, and its gradient by the first."""
    method = vicreg.Method(
        vicreg.Config(outputs=first.shape[1]), contract.resnet.build(contract.resnet.Config(depth=8))
    )
    first = first.clone().requires_grad_()
    loss = method.pair_loss(Encoded(first, first, first), second, [])
    (gradient,) = torch.autograd.grad(loss, first)
    return loss.detach(), gradient


@pytest.mark.parametrize("law", LAWS)
def test_method_keeps_every_law_of_the_contract(user_folder, law):
    contributed = blocks(PAGE, "python")[0].replace('"mylab.vicreg"', '"vicreg"')  # step 4 of the page
    getattr(contract.TestEveryMethod(), law)(make_module(user_folder, contributed), SMALL)


def test_loss_is_lightlys(vicreg):
    first, second = (draws.normal(0, name, (12, 6)).double() for name in ("first", "second"))
    loss, gradient = loss_and_gradient(vicreg, first, second)
    theirs = first.clone().requires_grad_()
    expected = VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0)(theirs, second)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, theirs)[0], rtol=1e-9, atol=1e-12)


def part_of_two() -> tuple[torch.Tensor, torch.Tensor]:
    """What a rank makes of its part of a batch."""
    from methods.parts.gather import part

    module = importlib.import_module("mylab.vicreg")
    first, second = (part(draws.normal(0, name, (12, 6)).double()) for name in ("first", "second"))
    return loss_and_gradient(module, first, second)


def test_two_workers_learn_what_one_learns(vicreg, tmp_path):
    first, second = (draws.normal(0, name, (12, 6)).double() for name in ("first", "second"))
    loss, gradient = loss_and_gradient(vicreg, first, second)
    parts = on_ranks(2, tmp_path / "ranks", part_of_two)
    torch.testing.assert_close(torch.stack([one[0] for one in parts]).mean(), loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.cat([one[1] for one in parts]) / 2, gradient, rtol=1e-9, atol=1e-12)


def test_study_of_the_page_is_legal(vicreg, tmp_path):
    (tmp_path / "vicreg.yaml").write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")
    assert load_study(tmp_path / "vicreg.yaml").run.method == vicreg.Config()


@pytest.mark.usefixtures("vicreg")
def test_method_trains_with_an_add_on():
    run = tiny_run(method={"name": "mylab.vicreg", **SMALL}, addons={"msr": {}}, training={"epochs": 1})
    surroundings = Surroundings()
    assembly.train(run, assembly.load_data(run), surroundings)
    assert surroundings.exported is not None
    assert surroundings.reports[-1]["finished"] == 1
