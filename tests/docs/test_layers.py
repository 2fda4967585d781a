"""The picture of the layers is what import-linter enforces."""

import re

import pytest

from tests.docs.pages import ROOT
from tests.docs.tools import load

layers = load("layers")


def test_picture_is_fresh():
    assert layers.PICTURE.read_text(encoding="utf-8") == layers.draw(), "run: python docs/tools/layers.py"


def test_picture_shows_every_room_in_the_order_of_the_contract():
    drawn = re.findall(r"font-weight='bold'.*?>(\w+)<", layers.draw())
    rooms = [room for row in layers.rooms() for room in row]
    assert drawn == ["orchestrator", *rooms, "methods", "augment"]
    there = {path.parent.name for path in (ROOT / "orchestrator").glob("*/__init__.py")}
    assert there <= set(rooms)


def test_page_describes_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [room for row in layers.rooms() for room in row if f"`{room}`" not in page] == []


def make_house(root, *, docstring: str):
    """A repository of two rooms, one of them missing."""
    (root / "orchestrator" / "core").mkdir(parents=True)
    (root / "orchestrator" / "core" / "__init__.py").write_text(docstring)
    contract = '{type = "layers", containers = ["orchestrator"], layers = ["(extend)", "core"]}'
    (root / "pyproject.toml").write_text(f"[tool.importlinter]\ncontracts = [{contract}]\n")


def test_optional_room_that_is_missing_is_left_out(tmp_path):
    make_house(tmp_path, docstring='"""Errors."""\n')
    assert layers.rooms(tmp_path) == [["core"]]
    assert layers.caption("orchestrator/core", tmp_path) == "Errors."


def test_room_without_a_docstring_is_named(tmp_path):
    make_house(tmp_path, docstring="")
    with pytest.raises(ValueError, match="orchestrator/core has no docstring"):
        layers.caption("orchestrator/core", tmp_path)
