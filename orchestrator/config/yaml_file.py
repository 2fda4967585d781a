"""Reads users' YAML files, and writes and rereads the program's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from orchestrator.config import yaml_parser
from orchestrator.config.mistakes import show
from orchestrator.config.yaml_parser import parse
from orchestrator.core.errors import UserError
from orchestrator.core.registry import suggest

__all__ = ["parse", "read", "reread", "write"]


def read(path: Path, sections: Sequence[str], home: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Args:
        path: path of the file.
        sections: sections that the file may have, for messages.
        home: the project's own folder of such files, for suggestions.

    Raises:
        UserError: if the file cannot be read or is not a mapping, in one line that begins with the file's name.
    """
    try:
        with path.open("rb") as file:
            # Bounded, since the path may name an endless device or a data set.
            content = file.read(4 * yaml_parser.MAX_CHARACTERS + 1)
        tree = parse(content.decode("utf-8"))
    except FileNotFoundError as error:
        # The pattern skips hidden files.
        nearby = sorted(str(found) for folder in {path.parent, home} for found in folder.glob("[!.]*.yaml"))
        raise UserError(f"{path}: no such file{suggest(str(path), nearby)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: must hold the sections {_and(sections)}, but holds {show(tree)}")
    return tree


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


class _Dumper(yaml.CSafeDumper):
    """Quotes every string that YAML 1.1 or 1.2 would parse as another type."""

    yaml_implicit_resolvers: ClassVar = {  # pyright: ignore[reportIncompatibleVariableOverride]
        first: list(resolvers) for first, resolvers in yaml.CSafeDumper.yaml_implicit_resolvers.items()
    }


for _tag, _pattern in (("int", yaml_parser.INT), ("float", yaml_parser.FLOAT)):
    for _first in "-+.0123456789":
        # PyYAML matches only at the start of the text.
        _whole = yaml_parser.re.compile(f"(?:{_pattern.pattern})$")
        _Dumper.yaml_implicit_resolvers.setdefault(_first, []).append((f"tag:yaml.org,2002:{_tag}", _whole))


def write(tree: dict[str, Any]) -> str:
    """Dump a tree as YAML with its keys in order; `parse` and `reread` restore it unchanged."""
    style = {"sort_keys": False, "allow_unicode": True, "width": 120, "default_flow_style": None}
    return yaml.dump(tree, Dumper=_Dumper, **style)


def reread(text: str) -> Any:
    """Load the output of `write`, seven times as fast as `parse`: a long sweep has one file per trial.

    Follows YAML 1.1, since earlier versions wrote their files in it, with strings such as `1e3` unquoted. Not for
    users' files: libyaml's messages are less specific, and deeply nested text overflows its stack.

    Raises:
        UserError: if the text is not YAML.
    """
    try:
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        return parse(text)
