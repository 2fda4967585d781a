"""A fake GPU for machines without one: its tensors report the device `cuda:0` and are computed on the CPU.

Like a GPU it rejects operations on tensors of two devices and, while it is busy, operations that block the host, such
as reading a value or copying from memory that is not pinned. `tests.recorded` captures and replays graphs. Results are
the CPU's, so a training on the fake GPU must end with exactly the numbers of one on the CPU.
"""

# pyright: reportPrivateImportUsage=false

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from augment import constants
from tests.fake_engine import backward
from tests.recorded import Recording, recording, refuse_host, tensors_of

GPU = torch.device("cuda", 0)

aten = torch.ops.aten
# Operators that accept tensors of both devices: copies, and indexing with indices on the host.
_COPIES = (aten.copy_, aten._to_copy, aten._foreach_copy_)
_LOOKUPS = (aten.index, aten.index_put, aten.index_put_)


class OnGPU(Tensor):
    """A tensor on the fake GPU.

    Attributes:
        numbers: its contents, on the CPU.
    """

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "OnGPU":
        layout = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset(), "dtype": numbers.dtype}
        made = Tensor._make_wrapper_subclass(cls, numbers.size(), device=GPU, **layout)
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return _computed(operator, args, kwargs or {})

    def data_ptr(self) -> int:
        return self.numbers.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: Any) -> "OnGPU":
        return OnGPU(self.numbers.clone())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.numbers.__reduce_ex__(protocol)

    def __repr__(self, **_: Any) -> str:
        return f"OnGPU({self.numbers})"


class _Driver(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.busy = False
        self.pinned: list[Tensor] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operator.overloadpacket is aten._pin_memory:
            self.pinned.append(args[0].clone())
            return self.pinned[-1]
        pinned = kwargs.pop("pin_memory", False)
        made = _computed(operator, args, kwargs)
        if pinned:
            self.pinned.append(made)
        if self.busy and not self._sends_pinned(operator, args):
            tensors = tensors_of((args, kwargs, made))
            if any(isinstance(tensor, OnGPU) for tensor in tensors):
                refuse_host(operator, args, tensors)
        return made

    def synchronize(self, device: object = None) -> None:
        """Replaces `torch.cuda.synchronize`."""
        assert not self.busy, "the host waits for the device"

    def _sends_pinned(self, operator: Any, args: tuple) -> bool:
        place = {aten._to_copy: 0, aten.copy_: 1}.get(operator.overloadpacket)
        if place is None or isinstance(args[place], OnGPU):
            return False
        return any(args[place].untyped_storage().data_ptr() == one.untyped_storage().data_ptr() for one in self.pinned)


def _computed(operator: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    given = tensors_of((args, kwargs))
    known = {id(_numbers(tensor)): tensor for tensor in given}  # returned by in-place operations
    wanted = kwargs.get("device")
    _refuse_strangers(operator, args, given)
    if wanted is not None:
        there = torch.device(wanted).type == "cuda"
        kwargs = kwargs | {"device": torch.device("cpu")}
    else:
        there = any(isinstance(tensor, OnGPU) for tensor in given)
    args, kwargs = _mapped(_numbers, (args, kwargs))

    def placed(made: Any) -> Any:
        if id(made) in known:
            return known[id(made)]
        return OnGPU(made) if there and isinstance(made, Tensor) else made

    return _mapped(placed, operator(*args, **kwargs))


def _refuse_strangers(operator: Any, args: tuple, given: Sequence[Tensor]) -> None:
    """Reject tensors of two devices, except scalars of the host, which any kernel accepts."""
    hosts = [tensor for tensor in given if not isinstance(tensor, OnGPU)]
    if operator.overloadpacket in _COPIES or len(hosts) == len(given):
        return
    hosts = [tensor for tensor in hosts if tensor.ndim]
    if operator.overloadpacket in _LOOKUPS and isinstance(args[0], OnGPU):
        hosts = [tensor for tensor in hosts if all(tensor is not index for index in args[1])]
    if hosts:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {operator} has some on the CPU")


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf of arguments or results, ten times as fast as torch's `tree_map`."""
    if isinstance(tree, (tuple, list)):
        return type(tree)([_mapped(function, one) for one in tree])
    if isinstance(tree, dict):
        return {key: _mapped(function, one) for key, one in tree.items()}
    return function(tree)


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, OnGPU) else leaf


class _Graph:
    """Replaces `torch.cuda.CUDAGraph`."""

    recording: Recording

    def replay(self) -> None:
        self.recording.replay()


@contextmanager
def _captured(graph: _Graph, stream: object = None) -> Iterator[None]:
    """Replaces `torch.cuda.graph`."""
    with recording() as graph.recording:
        yield
    graph.recording.undo()


class _Event:
    """Replaces `torch.cuda.Event`."""

    def __init__(self, enable_timing: bool = False) -> None:
        pass

    def record(self) -> None:
        pass

    def elapsed_time(self, end: "_Event") -> float:
        return 1.0


@contextmanager
def fake_gpu(memory: int = 2**30) -> Iterator[Callable[[], Any]]:
    """Give the machine a fake GPU during the block.

    Args:
        memory: memory of the GPU in bytes.

    Yields:
        A function that returns a context in which the GPU is busy and the host must not wait for it.
    """
    driver, stream = _Driver(), SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def working() -> Iterator[None]:
        driver.busy = True
        try:
            yield
        finally:
            driver.busy = False

    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda including_emulation=True: True,
        "synchronize": driver.synchronize,
        "max_memory_allocated": lambda device=None: 1,
        "get_device_properties": lambda device=None: SimpleNamespace(total_memory=memory),
        "current_device": lambda: GPU.index,
        "Stream": lambda: stream,
        "current_stream": lambda device=None: stream,
        "stream": lambda stream: nullcontext(),
        "Event": _Event,
        "CUDAGraph": _Graph,
        "graph": _captured,
    }
    with ExitStack() as stack:
        for name, stand_in in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stand_in))
        stack.enter_context(
            mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", return_value=False)
        )
        # Patches internals, since torch's public function rejects devices without an index.
        stack.enter_context(mock.patch.object(torch.cuda.memory, "_lazy_init"))
        stack.enter_context(mock.patch.object(torch._C, "_cuda_getMemoryFraction", create=True, return_value=1.0))
        stack.enter_context(mock.patch.object(constants, "_MADE", {}))
        stack.enter_context(mock.patch.object(Tensor, "backward", lambda root: backward(root) and None))
        stack.enter_context(mock.patch.object(torch.autograd, "grad", lambda root, *sources: backward(root, sources)))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(_settings())
        stack.enter_context(driver)
        yield working


@contextmanager
def _settings() -> Iterator[None]:
    """Set torch's flags that tensors of an unavailable device need."""
    overwrites, lifts = torch.__future__.get_overwrite_module_params_on_conversion(), torch._C._only_lift_cpu_tensors()
    torch._C._ensureCUDADeviceGuardSet()
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        torch._C._set_only_lift_cpu_tensors(lifts)
