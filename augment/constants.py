"""Constants that kernels read, copied to a device once.

A tensor made from Python numbers in a call is copied from the host at every call: the GPU waits for it, and a CUDA
graph cannot capture it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Never emptied: a captured graph reads the memory of its constants without holding it.
_MADE: dict[tuple, Tensor] = {}


def constant(values: Sequence, like: Tensor) -> Tensor:
    """A tensor of given numbers, the same one at every call, and not to be written to.

    A first call copies from the host, so it must come before a graph is captured, and before code is compiled: compiled
    code takes the tensor that is kept as an input.

    Args:
        values: numbers, or sequences of them.
        like: what it is computed with: it has the same type and is on the same device.
    """
    return _kept(_hashable(values), like.dtype, like.device)


def _kept(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    key = values, dtype, device
    if torch.compiler.is_compiling():
        return _MADE[key]
    if key not in _MADE:
        with torch.inference_mode(False):  # whose tensors no later training might use
            _MADE[key] = torch.tensor(values, dtype=dtype, device=device)
    return _MADE[key]


def _hashable(values: Sequence) -> tuple:
    return tuple(_hashable(value) if isinstance(value, Sequence) else value for value in values)
