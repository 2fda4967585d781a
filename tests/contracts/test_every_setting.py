"""No dead options: a field of a `Config` exists only if a search space or a test sets it to another value."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from augment.config import Config
from orchestrator.core.registry import names

ROOT = Path(__file__).parents[2]


def configs(base: type[Config] = Config) -> list[type[Config]]:
    """Every `Config` class of our packages."""
    found = {base, *(one for child in base.__subclasses__() for one in configs(child))}
    return sorted(found, key=lambda one: (one.__module__, one.__name__))


importlib.import_module("orchestrator.config.run")
for package in ("augment.ops", "methods", "methods.addons", "methods.encoders"):
    names(package)  # imports them
for package in ("orchestrator.datasets", "orchestrator.metrics"):
    names(package)
OWN = [one for one in configs() if one.__module__.partition(".")[0] in ("augment", "methods", "orchestrator")]
FIELDS = [
    pytest.param(config, name, id=f"{config.__module__}.{name}")
    for config in OWN
    for name, field in config.model_fields.items()
    if not field.is_required() and name in config.__annotations__ and name != "name"
]


def owners(config: type[Config]) -> set[str]:
    """The names of the components that a `Config` or a subclass of it configures."""
    is_component = config.__name__ == "Config"
    word = config.__module__.rpartition(".")[2] if is_component else config.__name__.removesuffix("Config").lower()
    return {word}.union(*(owners(child) for child in config.__subclasses__()))


@cache
def texts() -> tuple[str, ...]:
    """The texts of all search spaces, suites and tests except this file."""
    yamls = [*(ROOT / "search_spaces").glob("*.yaml"), *(ROOT / "orchestrator/evaluate/suites").glob("*.yaml")]
    files = [*yamls, *(ROOT / "tests").rglob("*.py")]
    return tuple(file.read_text(encoding="utf-8") for file in files if file != Path(__file__))


def is_set(name: str, default: object, text: str) -> bool:
    """Whether a text sets a field of this name (as a key, an argument or the end of a path) to another value."""
    for value in re.findall(rf"\b{name}\b" + r"[\"']?\s*[:=,]\s*(\[[^\]]*\]|[^\s,})][^,})\n]*)", text):
        try:
            other = yaml.safe_load(value) != default
        except yaml.YAMLError:
            other = True  # a Python expression
        if other:
            return True
    return False


@pytest.mark.parametrize(("config", "name"), FIELDS)
def test_field_is_set_off_its_default_where_its_component_is_named(config, name):
    default = config.model_fields[name].get_default(call_default_factory=True)
    naming = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(owners(config))})(?![a-z0-9])")
    assert any(is_set(name, default, text) for text in texts() if name in text and naming.search(text)), (
        f"no file that names {' or '.join(sorted(owners(config)))} sets {name} to anything but {default!r}: "
        "remove the field, or test it"
    )


def test_search_for_settings_distinguishes_defaults():
    assert is_set("width", 1.0, "encoder: {width: 0.25}")
    assert is_set("width", 1.0, "Config(width=0.5)")
    assert is_set("width", 1.0, '("run.encoder.width", 4.0)')
    assert not is_set("width", 1.0, "encoder: {width: 1.0, bandwidth: 3}")
    assert not is_set("width", 1.0, "Config(width=1.0)")
