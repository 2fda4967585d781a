"""What a CUDA graph would make of a function, on any device: its kernels without the Python around them.

Like a capture it refuses what needs the host, and like a graph a recording reads and writes the memory that it met.
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
    """The operators that a call went through, with their tensors.

    Attributes:
        result: what the call returned; a replay writes to the tensors in it.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._overwritten: list[tuple[Tensor, Tensor]] = []
        self.result: Any = None

    def call(self, operator: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Compute one operator, and remember it."""
        written = tensors_of(list(_written(operator, args, kwargs)))
        self._overwritten += [(tensor, tensor.clone()) for tensor in written]
        returned = operator(*args, **kwargs)
        self._calls.append((operator, args, kwargs, returned))
        return returned

    @torch.no_grad()
    def replay(self) -> None:
        """Compute everything again, from what the recorded inputs hold now."""
        for operator, args, kwargs, returned in self._calls:
            for old, new in zip(tensors_of(returned), tensors_of(operator(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():  # else a view, or written in place
                    old.copy_(new)

    @torch.no_grad()
    def undo(self) -> None:
        """Put back what was overwritten while it was recorded, as a capture does nothing yet."""
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
        AssertionError: if it reads from the device, makes tensors from Python's numbers, or has shapes that depend on
            values.
    """
    # The values are not readable on a device.
    with mock.patch.object(shortcuts, "readable", return_value=False), _Recorder() as recorder:
        yield recorder.recording


def record(function: Callable[[], Any]) -> Recording:
    """Call a function and record it; raises as `recording` does."""
    with recording() as made:
        made.result = function()
    return made


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors in an operator's arguments or results; torch's `tree_leaves` takes ten times as long."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        return []
    return [tensor for one in tree for tensor in tensors_of(one)]


def refuse_host(operator: Any, args: tuple, tensors: list[Tensor]) -> None:
    """Raises AssertionError for what makes host and device wait for one another.

    Args:
        operator: of the call.
        args: of the call.
        tensors: given and returned.
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
    """The arguments that an operator writes to."""
    for place, argument in enumerate(operator._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[place] if place < len(args) else kwargs.get(argument.name)
    if operator is torch.ops.aten.native_batch_norm.default:  # its schema does not say so
        yield args[3:5]
