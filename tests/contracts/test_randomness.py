"""Random numbers come only from `augment/draws.py`; our packages use no other generator."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("augment", "methods", "orchestrator")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

DRAWING_MODULES = ("random", "secrets", "numpy.random", "torch.random")
DRAWING_NAMES = {
    "Generator", "RandomState", "default_rng", "manual_seed", "manual_seed_all", "seed", "rand", "rand_like", "randn",
    "randn_like", "randint", "randint_like", "randperm", "bernoulli", "multinomial", "poisson", "normal", "dropout",
    "alpha_dropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "gumbel_softmax", "rrelu",
    "RReLU",
}  # fmt: skip
DRAWING_METHODS = {
    "uniform_", "normal_", "bernoulli_", "random_", "exponential_", "cauchy_", "log_normal_", "geometric_", "bernoulli",
    "multinomial",
}  # fmt: skip
LIBRARIES = ("torch", "numpy")


def offences(source: str) -> list[str]:
    """Every use of a random generator in a piece of Python, as `line: name`."""
    tree = ast.parse(source)
    full_names = _imports(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = _dotted(node, full_names)
            if _draws(name) or (isinstance(node, ast.Attribute) and node.attr in DRAWING_METHODS):
                found.append(f"{node.lineno}: {name or node.attr}")
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [
                alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}" for alias in node.names
            ]
            found += [f"{node.lineno}: import {name}" for name in names if _draws(name)]
    return found


def _imports(tree: ast.AST) -> dict[str, str]:
    """The full name of each imported name."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.AST, full_names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return full_names.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, full_names)):
        return f"{owner}.{node.attr}"
    return ""


def _draws(name: str) -> bool:
    if any(name == module or name.startswith(f"{module}.") for module in DRAWING_MODULES):
        return True
    library, _, rest = name.partition(".")
    # `torch.nn.init` fills weights from the global generator; its constant initialisers are easy to replace.
    return library in LIBRARIES and (rest.split(".")[-1] in DRAWING_NAMES or rest.startswith("nn.init"))


def test_sources_are_found():
    assert len(SOURCES) >= 20
    assert ROOT / "augment" / "draws.py" in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_draws_no_numbers_of_its_own(path):
    assert offences(path.read_text()) == [], (
        "draw from augment/draws.py: `uniforms`, `normal`, `uniform`, `permutation`, `integer`"
    )


@pytest.mark.parametrize(
    "line",
    [
        "import torch\ntorch.rand(3)",
        "import torch\ntorch.manual_seed(0)",
        "import torch\ntorch.cuda.manual_seed_all",
        "import torch as t\nt.randperm(3)",
        "from torch import randn",
        "from torch import nn\nnn.init.kaiming_normal_(w)",
        "import torch.nn as nn\nnn.Dropout(0.5)",
        "import torch.nn.functional as F\nF.dropout(x)",
        "import torch\ntorch.Generator()",
        "x.uniform_()",
        "self.weight.data.normal_(0, 1)",
        "import random",
        "from random import choice",
        "import numpy as np\nnp.random.default_rng(0)",
        "from numpy.random import default_rng",
        "import numpy\nnumpy.random.seed(0)",
    ],
)
def test_lint_finds_other_generators(line):
    assert offences(line)


@pytest.mark.parametrize(
    "line",
    [
        "from augment import draws\ndraws.normal(0, 'w', (3,))",
        "from augment.draws import normal\nnormal(0, 'w', (3,))",
        "seed = config.seed\nself.seed = seed",
        "from torch import nn\nnn.Linear(3, 3)",
        "normal = x - x.mean()",
    ],
)
def test_lint_lets_other_names_pass(line):
    assert offences(line) == []
