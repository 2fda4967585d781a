"""Parses YAML text to Python values: the core schema of YAML 1.2, limited to JSON's types.

PyYAML resolves plain scalars by YAML 1.1, where `off` is false, `010` is 8, `1:30` is 90 and `1e-3` is a string. This
module resolves PyYAML's events itself. Untrusted text cannot exhaust stack, time or memory: depth and size, with
aliases expanded, are bounded.

Source: YAML 1.2.2, section 10.3 (core schema), https://yaml.org/spec/1.2.2/#103-core-schema.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from orchestrator.config.mistakes import show
from orchestrator.core.errors import UserError

MAX_CHARACTERS = 2**20  # of a text
MAX_ALIASED = 100_000  # characters of all expanded aliases of a text
MAX_DEPTH = 64  # of nested lists and mappings
_MAX_INTEGER = 2**64  # in magnitude

NULL = re.compile(r"~|null|Null|NULL|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_TOO_DEEP = f"lists and mappings are nested deeper than {MAX_DEPTH} levels"


def parse(text: str) -> Any:
    """Parse a YAML text to JSON's types.

    Args:
        text: one document, of at most `MAX_CHARACTERS` characters.

    Raises:
        UserError: if the text is invalid, in one line that begins with line and column if known.
    """
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"has more than {MAX_CHARACTERS} characters; is this the right file?")
    try:
        return _Builder(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        context = f" ({error.context})" if error.context else ""
        raise UserError(f"{line}{error.problem or 'invalid YAML'}{context}".replace("\n", " ")) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        what = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML; remove it"
        raise UserError(f"line {line}, column {column}: {what}") from error


@dataclass(frozen=True)
class _Built:
    """A value, its length in characters and its nesting depth, both with aliases expanded."""

    value: Any
    size: int
    height: int = 0


class _Builder(Reader, Scanner, Parser):
    """Builds the value of one document from PyYAML's events."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self._anchors: dict[str, _Built | None] = {}  # None while the anchored node is incomplete
        self._aliased = 0  # characters

    def document(self) -> Any:
        """Build the only document of the text; None if the text is empty."""
        self.get_event()  # the start of the stream
        if self.check_event(StreamEndEvent):
            return None
        self.get_event()  # the start of the document
        built = self._node(0)
        self.get_event()  # the end of the document
        if not self.check_event(StreamEndEvent):
            again = self.peek_event()
            assert isinstance(again, DocumentStartEvent)
            raise _error(again, "a second document begins here; a file must hold one")
        return built.value

    def _node(self, depth: int) -> _Built:
        event = self.get_event()
        if isinstance(event, AliasEvent):
            return self._copied(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            built = _Built(_scalar(event), len(event.value) + 1)
        else:
            built = self._list(event, depth) if isinstance(event, SequenceStartEvent) else self._mapping(event, depth)
        _require_depth(depth + built.height, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = built
        return built

    def _copied(self, event: AliasEvent) -> _Built:
        if event.anchor not in self._anchors:
            raise _error(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        found = self._anchors[event.anchor]
        if found is None:
            raise _error(event, f"the alias *{event.anchor} lies inside what it stands for")
        self._aliased += found.size
        if self._aliased > MAX_ALIASED:
            raise _error(event, f"the aliases stand for more than {MAX_ALIASED} characters; write less with them")
        # A copy, so that changing one (`--set`) does not change the other.
        return replace(found, value=_copy(found.value))

    def _list(self, start: Any, depth: int) -> _Built:
        _require_tag(start, "seq")
        _require_depth(depth + 1, start)
        values, whole = [], _Built(None, 1, 1)
        while not self.check_event(SequenceEndEvent):
            item = self._node(depth + 1)
            values.append(item.value)
            whole = _with(whole, item)
        self.get_event()
        return replace(whole, value=values)

    def _mapping(self, start: Any, depth: int) -> _Built:
        _require_tag(start, "map")
        _require_depth(depth + 1, start)
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        whole = _Built(None, 1, 1)
        while not self.check_event(MappingEndEvent):
            event = self.peek_event()
            key = self._node(depth + 1)
            name = _key(event, key.value)
            if name in lines:
                raise _error(event, f"the key {name} is repeated, first in line {lines[name]}; remove one")
            lines[name] = event.start_mark.line + 1
            item = self._node(depth + 1)
            values[name] = item.value
            whole = _with(_with(whole, key), item)
        self.get_event()
        return replace(whole, value=values)

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """Check the depth before the scanner, which reads far ahead in time quadratic in the depth."""
        if self.flow_level >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.get_mark())
        super().fetch_flow_collection_start(TokenClass)


def _with(whole: _Built, part: _Built) -> _Built:
    return _Built(None, whole.size + part.size, max(whole.height, 1 + part.height))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _require_depth(depth: int, event: Any) -> None:
    if depth > MAX_DEPTH:
        raise _error(event, _TOO_DEEP)


def _key(event: Any, value: Any) -> str:
    if isinstance(event, ScalarEvent) and event.implicit[0] and event.value == "<<":
        raise _error(event, "merge keys (<<) are not part of YAML 1.2; write the keys out, or alias a whole section")
    if isinstance(value, str):
        return value
    written = event.value if isinstance(event, ScalarEvent) else show(value)
    raise _error(event, f"the key {written or 'null'} must be a string; quote it")


def _scalar(event: ScalarEvent) -> Any:
    text, tag = event.value, event.tag
    plain = event.implicit[0]
    if tag is None or tag == "!":
        kinds = [kind for kind in _KINDS if _KINDS[kind][0].fullmatch(text)] if plain and tag is None else []
        kind = kinds[0] if kinds else "str"
    else:
        kind = tag.removeprefix(_TAG)
        if kind != "str" and kind not in _KINDS:
            raise _error(event, f"the tag {_written(tag)} is not supported; remove it")
        if kind != "str" and not _KINDS[kind][0].fullmatch(text):
            raise _error(event, f"{show(text)} is not of the kind {kind}; correct the value or remove the tag")
    if kind == "str":
        if found := _UNPRINTABLE.search(text):
            raise _error(event, f"the string holds the character U+{ord(found[0]):04X}; remove it")
        return text
    try:
        return _KINDS[kind][1](text)
    except (ValueError, OverflowError) as error:
        raise _error(event, f"the number {show(text)} is too large") from error


def _integer(text: str) -> int:
    if len(text) > 100:
        raise OverflowError
    number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if abs(number) > _MAX_INTEGER:
        raise OverflowError
    return number


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


# A plain scalar has the first kind whose pattern matches it; if none does, it is a string.
_KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (NULL, lambda text: None),
    "bool": (BOOL, lambda text: text.lower() == "true"),
    "int": (INT, _integer),
    "float": (FLOAT, _float),
}


def _require_tag(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _TAG + kind):
        raise _error(event, f"the tag {_written(event.tag)} is not supported; remove it")


def _written(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _error(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
