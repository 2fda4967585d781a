"""Errors in a user's file, one line each: path, value, violated rule, remedy."""

import json
import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.core.errors import UserError, printable
from orchestrator.core.registry import suggest

_SIGNS = {"greater_than": (">", "gt"), "greater_than_equal": (">=", "ge"), "less_than": ("<", "lt")}
_SIGNS["less_than_equal"] = ("<=", "le")
_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a string",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
}
_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


@dataclass(frozen=True)
class Mistake:
    """One error.

    Args:
        path: dotted path from the root of the file, such as `run.training.epochs`; empty if the law names the place.
        law: the violated rule and the remedy.
        value: the given value, as shown in the message; empty if there is none.
    """

    path: str
    law: str
    value: str = ""

    def __str__(self) -> str:
        path, value = _shortened(self.path, 200), printable(self.value)
        law = "\n".join(_shortened(line, 1000) for line in self.law.split("\n"))  # it may combine several mistakes
        place = f"{path} = {value}" if value else path
        return f"{place}: {law}" if place else law


class ConfigError(UserError):
    """All errors of a configuration, one line each.

    Args:
        mistakes: at least one.
        source: file that contains them, the prefix of each line; empty for no prefix.
    """

    def __init__(self, mistakes: Sequence[Mistake], source: str = ""):
        self.mistakes = list(mistakes)
        head = f"{source}: " if source else ""
        super().__init__("\n".join(head + str(mistake) for mistake in self.mistakes))


def show(value: object) -> str:
    """Format a value in YAML's flow style, truncated to 60 characters."""
    text = json.dumps(value, default=str, ensure_ascii=False) if not isinstance(value, str) else value or '""'
    return printable(text if len(text) <= 60 else f"{text[:57]}...")


def _shortened(text: str, limit: int) -> str:
    """A text in one line of about `limit` characters, without its middle if it is longer: a user's key has no limit."""
    half = limit // 2
    return printable(text if len(text) <= limit else f"{text[:half]}...{text[-half:]}")


def either(values: Iterable[object]) -> str:
    """Format alternative values, joined by `or`."""
    return " or ".join(map(show, values))


def join(*parts: str | int) -> str:
    """Join non-empty parts to a dotted path."""
    return ".".join(str(part) for part in parts if part != "")


def translate(error: ValidationError, model: type[BaseModel], path: str) -> list[Mistake]:
    """Translate Pydantic's errors about the section at `path` to mistakes."""
    return [_mistake(detail, model, path) for detail in error.errors(include_url=False)]


def _mistake(detail: ErrorDetails, model: type[BaseModel], path: str) -> Mistake:
    kind, loc, given = detail["type"], detail["loc"], show(detail["input"])
    field = str(loc[-1]) if loc else path.rpartition(".")[2]
    context = detail.get("ctx", {})
    where = join(path, *loc)
    if kind == "extra_forbidden":
        return Mistake(where, f"unknown key{suggest(field, _fields_at(model, loc[:-1]))}", given)
    if kind == "missing":
        return Mistake(where, "must be given")
    if kind in _SIGNS:
        sign, bound = _SIGNS[kind]
        return Mistake(where, f"{field} {sign} {_plain(context[bound])} must hold", given)
    if kind == "literal_error":
        allowed = str(context["expected"]).replace("'", "")
        return Mistake(where, f"must be {allowed}{_nearest(given, allowed)}", given)
    if kind == "value_error":
        return Mistake(where, str(context["error"]), given if loc else "")
    return Mistake(where, _type_law(kind, detail), given)


def _type_law(kind: str, detail: ErrorDetails) -> str:
    wanted = next((name for name in _KINDS if kind.startswith(f"{name}_")), None)
    if kind == "finite_number":
        return "must be finite"
    if wanted is None:
        return detail["msg"][0].lower() + detail["msg"][1:]
    return f"must be {_KINDS[wanted]}{_remedy(wanted, detail['input'])}"


def _remedy(wanted: str, value: object) -> str:
    """What to write instead, if the value shows the intention; else empty."""
    if wanted == "string" and isinstance(value, bool | int | float):
        return "; quote it"
    if wanted == "int" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if not isinstance(value, str):
        return ""
    if wanted == "bool" and value.lower() in _WORDS:
        return f"; YAML 1.2 reads {value} as a string, so write {_WORDS[value.lower()]}"
    if wanted in ("int", "float") and (number := _number(value)) is not None:
        return f"; write {number} without quotes" if wanted == "float" or number.isdigit() else ""
    return ""


def _number(text: str) -> str | None:
    """Rewrite a number that was quoted or has underscores in YAML's syntax; None if it is not a number."""
    plain = text.replace("_", "").strip()
    return plain if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", plain) else None


def _plain(bound: int | float) -> str:
    # Bounds of float fields are floats: show 1, not 1.0.
    return str(int(bound)) if bound == int(bound) else str(bound)


def _nearest(given: str, allowed: str) -> str:
    guess = suggest(given, allowed.replace(" or ", ", ").split(", "))
    return guess if "did you mean" in guess else ""


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Field names of the nested model at `loc` within `model`."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            break  # inside a container or a union: the enclosing model is the best guess
        model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    options = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    for option in (annotation, *options):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
