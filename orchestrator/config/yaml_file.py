"""YAML in and out: only what JSON can say too, and every slip with its line."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from orchestrator.config.mistakes import show
from orchestrator.core.errors import UserError
from orchestrator.core.registry import suggest

_NOT_IN_JSON = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "binary", "set", "omap", "pairs")}


class _Loader(yaml.SafeLoader):
    """Refuses keys that come twice or are not text, and leaves dates as the text they are."""

    yaml_constructors: ClassVar = {
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag not in _NOT_IN_JSON
    }
    yaml_implicit_resolvers: ClassVar = {  # pyright: ignore[reportIncompatibleVariableOverride]
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_IN_JSON]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, once its keys have been looked at."""
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"the key {show(key)} is no text: put it in quotes", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key} is here for the second time, first in line {seen[key]}: remove one",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


def _whole_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    # In one go, not piecemeal as PyYAML's own constructor does: so a mapping that contains itself is refused.
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _whole_mapping)


def parse(text: str) -> Any:
    """What a YAML text says, in YAML's own types.

    Raises:
        UserError: in one line, beginning with the number of the line that is wrong.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        context = f" ({error.context})" if error.context else ""
        raise UserError(f"{line}{error.problem or 'this is not YAML'}{context}".replace("\n", " ")) from error
    except yaml.YAMLError as error:
        raise UserError(" ".join(str(error).split())) from error


def read(path: Path, sections: Sequence[str], home: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: of the file.
        sections: that it may have, for messages.
        home: where the house keeps files of this kind.

    Raises:
        UserError: in one line that begins with the file's name, if it cannot be read or holds no mapping.
    """
    try:
        tree = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        # Beside it, or where the house keeps its own; a pattern that begins so leaves out hidden files.
        nearby = sorted(str(found) for folder in {path.parent, home} for found in folder.glob("[!.]*.yaml"))
        raise UserError(f"{path}: there is no such file{suggest(str(path), nearby)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a YAML file must be given") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: must hold the sections {_and(sections)}, but holds {show(tree)}")
    return tree


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def write(tree: dict[str, Any]) -> str:
    """A tree as YAML text, its keys in their order; `parse` and `reread` give it back unchanged."""
    style = {"sort_keys": False, "allow_unicode": True, "width": 120, "default_flow_style": None}
    return yaml.dump(tree, Dumper=yaml.CSafeDumper, **style)


def reread(text: str) -> Any:
    """What `write` has written, seven times as fast as `parse`: a long sweep has a file for each of its trials.

    Not for a user's files: libyaml says less of a mistake, and dies of one that is nested deep enough.
    """
    try:
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        return parse(text)
