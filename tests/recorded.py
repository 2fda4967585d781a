"""Emulates CUDA graphs on any device: records a function's operators and replays them without its Python code.

Like a capture, recording rejects operations that need the host. Like a graph, a replay reads and writes the memory that
the recording used.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from augment import shortcuts

Call = tuple[Callable, tuple, dict[str, Any], Any]  # an operator, its arguments, and what it returned


class Recording:
    """The operators of a recorded call, with their tensors.

    Attributes:
        result: return value of the call; a replay writes to its tensors.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._overwritten: list[tuple[Tensor, Tensor]] = []
        self.result: Any = None

    def call(self, operator: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Execute one operator and record it."""
        written = tensors_of(list(_written(operator, args, kwargs)))
        self._overwritten += [(tensor, tensor.clone()) for tensor in written]
        returned = operator(*args, **kwargs)
        self._calls.append((operator, args, kwargs, returned))
        return returned

    @torch.no_grad()
    def replay(self) -> None:
        """Execute all operators again, with the current contents of the recorded inputs."""
        for operator, args, kwargs, returned in self._calls:
            for old, new in zip(tensors_of(returned), tensors_of(operator(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():  # else a view, or an in-place result
                    old.copy_(new)

    @torch.no_grad()
    def undo(self) -> None:
        """Restore what recording overwrote, since a capture does not execute anything."""
        while self._overwritten:
            tensor, before = self._overwritten.pop()
            tensor.copy_(before)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        returned = self.recording.call(operator, args, kwargs)
        refuse_host(operator, args, tensors_of((args, kwargs, returned)))
        return returned


@contextmanager
def recording() -> Iterator[Recording]:
    """Record the block.

    Raises:
        AssertionError: if the block reads from the device, makes tensors from Python numbers, or has shapes that depend
            on values.
    """
    # The values are not readable on a device.
    with mock.patch.object(shortcuts, "readable", return_value=False), _Recorder() as recorder:
        yield recorder.recording


def record(function: Callable[[], Any]) -> Recording:
    """Record a call of a function; raises as `recording` does."""
    with recording() as made:
        made.result = function()
    return made


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors in an operator's arguments or results; ten times as fast as torch's `tree_leaves`."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        return []
    return [tensor for one in tree for tensor in tensors_of(one)]


def refuse_host(operator: Any, args: tuple, tensors: list[Tensor]) -> None:
    """Reject operations that synchronize host and device.

    Args:
        operator: the operator that was called.
        args: its positional arguments.
        tensors: all tensors among arguments and results.

    Raises:
        AssertionError: if the operation synchronizes.
    """
    assert torch.Tag.data_dependent_output not in operator.tags, f"{operator} reads from the device"
    assert operator is not torch.ops.aten.lift_fresh.default, f"{operator} brings numbers from Python"
    assert len({tensor.device for tensor in tensors}) <= 1, f"{operator} has tensors on two devices"
    if operator.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
        masks = [one for one in args[1] if one is not None and one.dtype in (torch.bool, torch.uint8)]
        assert not masks, f"{operator} selects by a mask"
    else:
        assert torch.Tag.dynamic_output_shape not in operator.tags, f"{operator} has a shape that depends on values"


def _written(operator: Any, args: tuple, kwargs: dict[str, Any]) -> Iterator[Any]:
    """Yield the arguments that an operator writes to."""
    for place, argument in enumerate(operator._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[place] if place < len(args) else kwargs.get(argument.name)
    if operator is torch.ops.aten.native_batch_norm.default:  # its schema does not say so
        yield args[3:5]
