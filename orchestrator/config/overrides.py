"""Applies the command line's overrides, `--set path=value`, to a file before it is checked."""

from collections.abc import Sequence
from typing import Any

from orchestrator.config import yaml_file
from orchestrator.config.mistakes import Mistake, show
from orchestrator.core.errors import UserError
from orchestrator.core.registry import suggest


def change(
    tree: dict[str, Any],
    text: str,
    mistakes: list[Mistake],
    *,
    sections: Sequence[str],
    example: str,
    whole: Sequence[str] = (),
) -> str:
    """Apply one override to the tree.

    Args:
        tree: contents of the file, changed in place.
        text: `path=value` with a path from the root of the file and a value in YAML.
        mistakes: receives what is wrong with the override.
        sections: sections that the file may have.
        example: a valid override, for the error message.
        whole: sections in which the rest of a path is a single key, dots included.

    Returns:
        The path, also if the override is invalid.
    """
    path, equals, value = text.partition("=")
    section, _, rest = path.partition(".")
    if section not in sections or not rest or not equals:
        law = f"must be path=value with a path from the root of the file, as in {example}"
        mistakes.append(Mistake("", f"--set {text}: {law}{suggest(section, list(sections)) if equals else ''}"))
        return path
    try:
        parsed = yaml_file.parse(value)
    except UserError as error:
        mistakes.append(Mistake("", f"--set {text}: {error}"))
        return path
    place: Any = tree.setdefault(section, {})
    parts = [rest] if section in whole else rest.split(".")
    while len(parts) > 1 and isinstance(place, dict):
        known = next((n for n in range(len(parts) - 1, 0, -1) if ".".join(parts[:n]) in place), 1)
        place = place.setdefault(".".join(parts[:known]), {})
        parts = parts[known:]
    if not isinstance(place, dict):
        mistakes.append(Mistake("", f"--set {text}: there is nothing below {show(place)}; set it as a whole"))
        return path
    place[".".join(parts)] = parsed
    return path


def located(mistakes: Sequence[Mistake], path: object, changed: set[str]) -> UserError:
    """Combine mistakes to one error, each line prefixed with its source: the file or the command line."""
    lines = []
    for mistake in mistakes:
        by_command = mistake.path and any(f"{mistake.path}.".startswith(f"{other}.") for other in changed)
        names_option = mistake.law.startswith("--set") and not mistake.path
        lines.append(str(mistake) if names_option else f"--set {mistake}" if by_command else f"{path}: {mistake}")
    return UserError("\n".join(lines))
