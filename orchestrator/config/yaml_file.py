"""YAML files of users, and YAML that this program writes and reads again."""

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
    """The mapping that a YAML file holds.

    Args:
        path: of the file.
        sections: that it may have, for messages.
        home: the project's own folder of such files, for suggestions.

    Raises:
        UserError: in one line that begins with the file's name, if it cannot be read or holds no mapping.
    """
    try:
        with path.open("rb") as file:
            # No further: it may be a device without an end, or a data set.
            content = file.read(4 * yaml_parser.MAX_CHARACTERS + 1)
        tree = parse(content.decode("utf-8"))
    except FileNotFoundError as error:
        # The pattern leaves out hidden files.
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
    """Quotes every string that YAML 1.1 or YAML 1.2 would read as anything else."""

    yaml_implicit_resolvers: ClassVar = {  # pyright: ignore[reportIncompatibleVariableOverride]
        first: list(resolvers) for first, resolvers in yaml.CSafeDumper.yaml_implicit_resolvers.items()
    }


for _tag, _pattern in (("int", yaml_parser.INT), ("float", yaml_parser.FLOAT)):
    for _first in "-+.0123456789":
        # PyYAML asks for a match at the start alone.
        _whole = yaml_parser.re.compile(f"(?:{_pattern.pattern})$")
        _Dumper.yaml_implicit_resolvers.setdefault(_first, []).append((f"tag:yaml.org,2002:{_tag}", _whole))


def write(tree: dict[str, Any]) -> str:
    """A tree as YAML text, its keys in their order; `parse` and `reread` give it back unchanged."""
    style = {"sort_keys": False, "allow_unicode": True, "width": 120, "default_flow_style": None}
    return yaml.dump(tree, Dumper=_Dumper, **style)


def reread(text: str) -> Any:
    """What `write` wrote, seven times as fast as `parse`: a long sweep has a file for each of its trials.

    By YAML 1.1, in which files of earlier versions were written, where a string such as `1e3` has no quotes. Not for
    users' files: libyaml's messages say less, and a deeply nested text overflows its stack.

    Raises:
        UserError: if the text is not YAML.
    """
    try:
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        return parse(text)
