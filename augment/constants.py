"""Settings that kernels read, put on a device once.

Whatever is made of Python's numbers at every call is copied from the host at every call: a GPU waits for it, and a
captured graph cannot hold it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Never emptied: a captured graph reads the memory of its constants without holding it.
_MADE: dict[tuple, Tensor] = {}


def constant(values: Sequence, like: Tensor) -> Tensor:
    """A tensor of given numbers, the same one at every call, and not to be written to.

    A first call copies from the host, so it must come before a graph is captured.

    Args:
        values: numbers, or sequences of them.
        like: what it is computed with: it has the same type and is on the same device.
    """
    return _kept(_hashable(values), like.dtype, like.device)


def _kept(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    key = values, dtype, device
    if key not in _MADE:
        with torch.inference_mode(False):  # whose tensors no later training might use
            _MADE[key] = torch.tensor(values, dtype=dtype, device=device)
    return _MADE[key]


# What `torch.compiler.assume_constant_result` does: compiled code takes the tensor in as it takes weights. To call it
# would load the compiler, which takes seconds.
_kept._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


def _hashable(values: Sequence) -> tuple:
    return tuple(_hashable(value) if isinstance(value, Sequence) else value for value in values)
