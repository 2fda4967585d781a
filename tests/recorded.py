"""What a CUDA graph would make of a function, on any device: its kernels without the Python around them.

Like a capture it refuses what needs the host, and like a graph a recording reads and writes the memory that it met.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = tuple[Callable, tuple, dict[str, Any], Any]  # an operator, its arguments, and what it returned


class Recording:
    """The operators that a call went through, with their tensors.

    Attributes:
        result: what the call returned; a replay writes to the tensors in it.
    """

    def __init__(self, calls: list[Call], result: Any) -> None:
        self._calls, self.result = calls, result

    @torch.no_grad()
    def replay(self) -> None:
        """Compute everything again, from what the recorded inputs hold now."""
        for operator, args, kwargs, returned in self._calls:
            for old, new in zip(tree_leaves(returned), tree_leaves(operator(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():  # else a view, or written in place
                    old.copy_(new)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        returned = operator(*args, **kwargs)
        _refuse_host(
            operator, args, [leaf for leaf in tree_leaves((args, kwargs, returned)) if isinstance(leaf, Tensor)]
        )
        self.calls.append((operator, args, kwargs, returned))
        return returned


def record(function: Callable[[], Any]) -> Recording:
    """Call a function and record it.

    Raises:
        AssertionError: if it reads from the device, makes tensors from Python's numbers, or has shapes that depend on
            values.
    """
    with _Recorder() as recorder:
        result = function()
    return Recording(recorder.calls, result)


def _refuse_host(operator: Any, args: tuple, tensors: list[Tensor]) -> None:
    assert torch.Tag.data_dependent_output not in operator.tags, f"{operator} reads from the device"
    assert operator is not torch.ops.aten.lift_fresh.default, f"{operator} brings numbers from Python"
    assert len({tensor.device for tensor in tensors}) <= 1, f"{operator} has tensors on two devices"
    if operator.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
        masks = [one for one in args[1] if one is not None and one.dtype in (torch.bool, torch.uint8)]
        assert not masks, f"{operator} selects by a mask"
    else:
        assert torch.Tag.dynamic_output_shape not in operator.tags, f"{operator} has a shape that depends on values"
