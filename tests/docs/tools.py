"""Loads the programs in docs/tools, which are no package."""

import importlib.util
from types import ModuleType

from tests.docs.pages import ROOT


def load(name: str) -> ModuleType:
    """One of them, by its file name without the ending."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
