"""The tables of keys are those of the models."""

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field

from augment.config import Config, Interval
from orchestrator.config import dimension
from orchestrator.config.run import RunConfig
from orchestrator.config.sweep import SweepConfig
from orchestrator.core.registry import names
from tests.docs.tools import load

reference = load("reference")


class Model(Config):
    """A model with one key of each kind.

    Args:
        share: of something,
            said in two lines.
        pair: smallest and largest.
        sizes: in pixels; None for all.
        way: how.
    """

    share: float = Field(1 / 3, gt=0, le=1)
    pair: Interval = (0.1, 2.0)
    sizes: Annotated[tuple[Annotated[int, Field(ge=1, lt=2**32)], ...], Field(strict=False)] | None = None
    way: Literal["up", "down"]


def test_page_is_fresh():
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.written(page), "run: python docs/tools/reference.py"


def test_keys_have_type_default_bounds_and_meaning():
    assert reference.rows(Model) == [
        ("`share`", "number", "`0.333333`", "> 0, ≤ 1", "of something, said in two lines."),
        ("`pair`", "[number, number]", "`[0.1, 2.0]`", "", "smallest and largest."),
        ("`sizes`", "list of integer or null", "`null`", "≥ 1, < 2^32", "in pixels; null for all."),
        ("`way`", "`up`, `down`", "required", "", "how."),
    ]


def test_key_without_a_meaning_is_named():
    class Silent(Config):
        """Says nothing."""

        epochs: int = 1

    with pytest.raises(ValueError, match="Silent: Args says nothing of epochs"):
        reference.rows(Silent)


def test_every_section_that_a_component_reads_has_its_folder():
    for section, model in (("run", RunConfig), ("sweep", SweepConfig)):
        chosen = {name for name, field in model.model_fields.items() if "InstanceOf" in repr(field)}
        assert chosen
        assert {f"{section}.{name}" for name in chosen} <= set(reference.COMPONENTS)


def test_every_component_is_in_the_page():
    page = reference.PAGE.read_text(encoding="utf-8")
    for package in reference.COMPONENTS.values():
        listed = {name for line in re.findall(r"^#### (.+)$", page, re.MULTILINE) for name in line.split(", ")}
        assert set(names(package)) <= listed


def test_every_kind_of_dimension_is_explained():
    by_hand = reference.PAGE.read_text(encoding="utf-8").partition(reference.MARKER)[0]
    assert [kind for kind in (*dimension._KINDS, "when") if f"| `{kind}` |" not in by_hand] == []
