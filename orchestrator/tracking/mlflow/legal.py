"""Converts names and texts to forms that MLflow accepts.

Source: `mlflow.utils.validation` of MLflow 3.17 (`validate_param_and_metric_name`, `path_not_unique`, the limits).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

NAME_LENGTH = 250
TEXT_LENGTH = 5000  # of a tag; newer servers accept 8000


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """Map names of metrics, parameters or tags to distinct names that MLflow accepts."""
    wanted = list(names)
    found = {name: name for name in wanted if _legal(name) == name}
    for name in wanted:
        if name not in found:
            legal = _legal(name)
            taken = legal in found.values()
            found[name] = f"{legal[: NAME_LENGTH - 9]}-{_digest(name)}" if taken else legal
    return found


def legal_text(text: str, length: int = TEXT_LENGTH) -> str:
    """Make a text valid Unicode, escape NUL, which databases reject, and truncate it."""
    valid = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return valid[:length]


def legal_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags for a new run, in legal names and texts."""
    names = legal_names(tags)
    return {names[name]: legal_text(text) for name, text in tags.items()}


def _legal(name: str) -> str:
    # MLflow treats names as paths and rejects any that normalization would change.
    parts = [part for part in re.sub(r"[^/\w.\- :]", "_", name).split("/") if part not in ("", ".")]
    plain = "/".join("__" if part == ".." else part for part in parts) or "_"
    if plain.startswith(".."):
        plain = f"__{plain[2:]}"
    return plain if len(plain) <= NAME_LENGTH else f"{plain[: NAME_LENGTH - 9]}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
