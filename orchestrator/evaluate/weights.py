"""Weights from files in which their names may have something before them: `module.encoder_q.conv1.weight`."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orchestrator.core.errors import UserError, named

_WRAPPERS = ("state_dict", "model", "model_state_dict", "objective")
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError)


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        UserError: if there is no such file, or it holds no tensors.
    """
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{file}: there is no such file of weights") from error
    except _UNREADABLE as error:
        law = "it must be a state dict as torch.save writes it, of tensors and plain values only"
        # What the unpickler says of a file that is none is a lecture on safety.
        told = named(error) if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"{file}: cannot be read ({told}); {law}") from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = content.items() if isinstance(content, Mapping) else ()
    state = {key: value for key, value in tensors if isinstance(value, Tensor)}
    if not state:
        raise UserError(f"{file}: holds no tensors; it must be a state dict as torch.save writes it")
    return state


def fill(network: nn.Module, file: Path, *, prefix: str | None = None, without: str | None = None) -> None:
    """Loads a network's weights from a file.

    Args:
        network: to be filled.
        file: see `read`.
        prefix: what stands before the names, or None to find it out.
        without: path of a layer whose weights need not be there.

    Raises:
        UserError: if the file has no such network, or several.
    """
    state, wanted = read(file), network.state_dict()
    body = [key for key in wanted if without is None or not key.startswith(f"{without}.")]
    there = sorted({key.removesuffix(body[0]) for key in state if key.endswith(body[0])})
    fitting = [one for one in there if all(one + key in state for key in body)]
    if prefix is None and len(fitting) > 1:
        raise UserError(f"{file}: holds several such networks; say which one: {file}#{fitting[0]}, ... #{fitting[-1]}")
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
