"""Weights from files in which their names may have a prefix: `module.encoder_q.conv1.weight`."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orchestrator.core.errors import UserError, named

_WRAPPERS = ("state_dict", "model", "model_state_dict", "objective")
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError)
# Of the classes that training scripts put beside their weights, those that hold values and nothing else.
_PLAIN_CLASSES: list[Any] = [argparse.Namespace]
_REFUSED_CLASS = re.compile(r"GLOBAL (\S+) was not an allowed global")
_DEEPEST = 32  # levels of mappings in one another
_MOST_NAMED = 4  # networks of a file that a message names


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name; a tensor inside nested mappings has their keys before its name.

    Nothing but tensors and plain values is unpickled (`weights_only=True`).

    Raises:
        UserError: if there is no such file, it holds no tensors, or an object of another class.
    """
    try:
        with torch.serialization.safe_globals(_PLAIN_CLASSES):
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{file}: there is no such file of weights") from error
    except _UNREADABLE as error:
        refused = _REFUSED_CLASS.search(str(error))
        if refused and isinstance(error, pickle.UnpicklingError):
            raise UserError(_other_classes(file, refused[1])) from error
        law = "it must be a state dict as torch.save writes it, of tensors and plain values only"
        # What the unpickler says of other files is a long advice on safety.
        reason = named(error) if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"{file}: cannot be read ({reason}); {law}") from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    state = dict(_tensors(content, ""))
    if not state:
        raise UserError(f"{file}: holds no tensors; it must be a state dict as torch.save writes it")
    return state


def _other_classes(file: Path, name: str) -> str:
    return (
        f"{file}: holds an object of class {name} beside its weights, and loading it could run code. If you trust the "
        'file, extract its weights once, where that class is installed: python -c "import torch; c = torch.load('
        f"'{file}', map_location='cpu', weights_only=False); torch.save(c['state_dict'], 'weights.pth')\" (or another "
        "key of c than state_dict)"
    )


def _tensors(content: Any, before: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Mapping) and depth < _DEEPEST:
        for key, value in content.items():
            if isinstance(value, Tensor):
                yield f"{before}{key}", value
            else:
                yield from _tensors(value, f"{before}{key}.", depth + 1)


def fill(network: nn.Module, file: Path, *, prefix: str | None = None, without: str | None = None) -> None:
    """Loads a network's weights from a file.

    Args:
        network: to be filled.
        file: see `read`.
        prefix: of the names in the file, or None to find it.
        without: path of a layer whose weights may be missing.

    Raises:
        UserError: if the file has no such network, or several.
    """
    state, wanted = read(file), network.state_dict()
    body = [key for key in wanted if without is None or not key.startswith(f"{without}.")]
    there = sorted({key.removesuffix(body[0]) for key in state if key.endswith(body[0])})
    fitting = [one for one in there if all(one + key in state for key in body)]
    if prefix is None and len(fitting) > 1:
        named_ones = ", ".join(f"{file}#{one}" for one in fitting[:_MOST_NAMED])
        raise UserError(f"{file}: holds {len(fitting)} such networks; say which one: {named_ones}")
    before = prefix if prefix is not None else next(iter([*fitting, *there]), "")
    lacking = next((key for key in body if before + key not in state), None)
    if lacking is not None:
        raise UserError(f"{file}: its weights are not of this network: there is no {before}{lacking}")
    found = {key: state[before + key] for key in body}
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f"{file}: its weights are not of this network: {before}{key} is {tuple(tensor.shape)}, "
                f"and {tuple(wanted[key].shape)} must hold"
            )
    network.load_state_dict(found, strict=without is None)
