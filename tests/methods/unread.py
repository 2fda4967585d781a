"""What a training step may not do on a device: wait for a value, or fetch one from the host."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class _NothingFromTheHost(TorchDispatchMode):
    """Refuses to make a tensor of Python's numbers, as `new_tensor` does: capture in a CUDA graph refuses that too."""

    def __torch_dispatch__(
        self, func: Callable, types: Sequence[type], args: Sequence = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func is not torch.ops.aten.lift_fresh.default, "a tensor of Python's numbers is a copy from the host"
        return func(*args, **(kwargs or {}))


@contextmanager
def without_values() -> Iterator[None]:
    """Tensors made here have no value: whatever would read one, or need one to know its shape, raises."""
    with FakeTensorMode(allow_non_fake_inputs=True), _NothingFromTheHost():
        yield
