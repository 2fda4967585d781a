"""Writes the tables of docs/configuration.md: every key with type, default, bounds and meaning, from the models.

    python docs/tools/reference.py

Text above the marker is written by hand, text below it by this program. A key's meaning is its line in the `Args:` of
the model's docstring.
"""

import importlib
import inspect
import json
import re
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from orchestrator.config.run import RunConfig  # noqa: E402
from orchestrator.config.sweep import SweepConfig  # noqa: E402
from orchestrator.core.registry import names  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
MARKER = "<!-- Below: written by docs/tools/reference.py from the pydantic models. Do not edit. -->\n"
# Sections of a file that a component reads, and where components of this kind are.
COMPONENTS = {
    "sweep.sampler": "orchestrator.search.samplers",
    "sweep.scheduler": "orchestrator.search.schedulers",
    "sweep.executor": "orchestrator.executors",
    "sweep.tracker": "orchestrator.tracking",
    "run.dataset": "orchestrator.datasets",
    "run.augment.recipes": "augment.ops",
    "run.method": "methods",
    "run.addons": "methods.addons",
    "run.encoder": "methods.encoders",
    "run.optimizer": "orchestrator.training.optimizers",
    "run.evaluation": "orchestrator.metrics",
    "protocols": "orchestrator.evaluate.protocols",
}
KINDS = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "mapping", type(None): "null"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
Row = tuple[str, str, str, str, str]


def reference() -> str:
    """Everything below the marker."""
    parts = ["## Every key\n", *_section("sweep", SweepConfig), *_section("run", RunConfig)]
    for path, package in COMPONENTS.items():
        parts += _components(path, package)
    return "\n".join(parts)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of each field, in one line each."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__doc__:
            found |= _args(inspect.cleandoc(base.__doc__))
    return found


def kind(annotation: Any) -> str:
    """A type in YAML's terms."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(kind(one) for one in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"[{', '.join(kind(one) for one in inner)}]"
    if origin in (list, tuple):
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return KINDS[annotation]


def bounds(metadata: Sequence[Any], annotation: Any = None) -> str:
    """The interval that pydantic enforces, that of a list's or an optional's members included."""
    found = ((sign, getattr(one, name, None)) for one in metadata for name, sign in BOUNDS.items())
    terms = [f"{sign} {_number(bound)}" for sign, bound in found if bound is not None]
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        nested = [constraint for field in more for constraint in getattr(field, "metadata", [field])]
        terms += filter(None, [bounds(nested, annotation)])
    elif get_origin(annotation) in (Union, types.UnionType, tuple, list):
        terms += filter(None, dict.fromkeys(bounds((), one) for one in get_args(annotation)))
    return ", ".join(dict.fromkeys(terms))


def default(field: FieldInfo) -> str:
    """The default in YAML's flow style."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        name = getattr(value, "name", None)
        return f"`{{name: {name}}}`" if name else "`{}`"
    text = _number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return f"`{text[1:-1] if isinstance(value, str) else text}`"


def rows(model: type[BaseModel], *, skip: Sequence[str] = (), components: Sequence[str] = ()) -> list[Row]:
    """One row per key: key, type, default, bounds, meaning.

    Args:
        model: what defines the keys.
        skip: keys to leave out.
        components: keys that a component reads.

    Raises:
        ValueError: if a key has no meaning.
    """
    said = meanings(model)
    found: list[Row] = []
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        if name not in said:
            raise ValueError(f"{model.__module__}.{model.__qualname__}: Args says nothing of {name}")
        what = "component" if name in components else kind(field.annotation)
        limits = "" if name in components else bounds(field.metadata, field.annotation)
        found.append((f"`{name}`", what, default(field), limits, said[name]))
    return found


def _args(docstring: str) -> dict[str, str]:
    """The entries of a Google-style `Args:` block."""
    block = re.search(r"^Args:\n((?: +.*\n?|\n)*)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", block[1] if block else "", re.MULTILINE)
    return {name: re.sub(r"\bNone\b", "null", re.sub(r"\s+", " ", text)) for name, text in entries}


def _number(value: float) -> str:
    """A number as people write it: large powers of two as such, no digits that say nothing."""
    power = int(value).bit_length() - 1
    return f"2^{power}" if power >= 20 and value == 2**power else f"{value:g}"


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """A section and the sections in it, without those that a component reads."""
    chosen = [name for name in model.model_fields if f"{path}.{name}" in COMPONENTS]
    fields = {name: field for name, field in model.model_fields.items() if name not in chosen}
    inner = {name: nested for name, field in fields.items() if (nested := _model(field.annotation))}
    yield f"### {path}\n"
    yield _table(rows(model, components=chosen))
    for name, nested in inner.items():
        yield from _section(f"{path}.{name}", nested)


def _components(path: str, package: str) -> Iterator[str]:
    """All components of a kind; those with the same keys share a table."""
    yield f"### {path}: components in `{package.replace('.', '/')}/`\n"
    tables: dict[tuple[Row, ...], list[str]] = {}
    for name in names(package):
        config = importlib.import_module(f"{package}.{name}").Config
        tables.setdefault(tuple(rows(config, skip=["name"])), []).append(name)
    for table, sharing in tables.items():
        yield f"#### {', '.join(sharing)}\n"
        modules = [importlib.import_module(f"{package}.{name}") for name in sharing]
        lines = [_first_line(module) for module in modules]
        listed = [f"- `{name}`: {line}" for name, line in zip(sharing, lines, strict=True)]
        yield "\n".join(listed if len(listed) > 1 else lines) + "\n"
        yield _table(table) if table else "No keys.\n"
        for name, field in modules[0].Config.model_fields.items():
            if nested := _model(field.annotation):
                yield from _nested(f"{sharing[0]}.{name}", nested)


def _nested(path: str, model: type[BaseModel]) -> Iterator[str]:
    """A section inside a component, and the sections in it."""
    yield f"##### {path}\n"
    yield _table(rows(model))
    for name, field in model.model_fields.items():
        if nested := _model(field.annotation):
            yield from _nested(f"{path}.{name}", nested)


def _first_line(module: types.ModuleType) -> str:
    """The first line of a module's docstring, without its name."""
    name, line = module.__name__.rpartition(".")[2], (module.__doc__ or "").strip().partition("\n")[0]
    line = line.removeprefix(f"{name}: ")
    return line[0].upper() + line[1:]


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, or may hold, if any."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    models = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
    return models[0] if models else None


def _table(found: Sequence[Row]) -> str:
    lines = ["| key | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in found]
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The whole page, with what is below its marker renewed."""
    return page.partition(MARKER)[0] + MARKER + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
