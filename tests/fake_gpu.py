"""A GPU for machines without one: tensors that say they lie on it, and are computed by the CPU.

It refuses what a GPU refuses, an operation on tensors of two devices, and while it is at work what makes the host wait:
a look at a value, a copy from memory that is not pinned. Graphs are captured and replayed by `tests.recorded`. Numbers
are the CPU's, so a training here has to end with the very ones of a training there.
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
# What may have tensors of both devices: copies, and looking things up by indices of the host, which are sent there.
_COPIES = (aten.copy_, aten._to_copy, aten._foreach_copy_)
_LOOKUPS = (aten.index, aten.index_put, aten.index_put_)


class OnGPU(Tensor):
    """A tensor on the GPU that is not there.

    Attributes:
        numbers: what it holds, on the CPU.
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
        """In the place of `torch.cuda.synchronize`."""
        assert not self.busy, "the host waits for the device"

    def _sends_pinned(self, operator: Any, args: tuple) -> bool:
        place = {aten._to_copy: 0, aten.copy_: 1}.get(operator.overloadpacket)
        if place is None or isinstance(args[place], OnGPU):
            return False
        return any(args[place].untyped_storage().data_ptr() == one.untyped_storage().data_ptr() for one in self.pinned)


def _computed(operator: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    given = tensors_of((args, kwargs))
    known = {id(_numbers(tensor)): tensor for tensor in given}  # which an operation in place gives back
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
    """Numbers of the host may go with any tensor, being sent with the kernel."""
    hosts = [tensor for tensor in given if not isinstance(tensor, OnGPU)]
    if operator.overloadpacket in _COPIES or len(hosts) == len(given):
        return
    hosts = [tensor for tensor in hosts if tensor.ndim]
    if operator.overloadpacket in _LOOKUPS and isinstance(args[0], OnGPU):
        hosts = [tensor for tensor in hosts if all(tensor is not index for index in args[1])]
    if hosts:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {operator} has some on the CPU")


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """A function of every leaf of an operator's arguments or results, at a tenth of the time of torch's `tree_map`."""
    if isinstance(tree, (tuple, list)):
        return type(tree)([_mapped(function, one) for one in tree])
    if isinstance(tree, dict):
        return {key: _mapped(function, one) for key, one in tree.items()}
    return function(tree)


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, OnGPU) else leaf


class _Graph:
    """In the place of `torch.cuda.CUDAGraph`."""

    recording: Recording

    def replay(self) -> None:
        self.recording.replay()


@contextmanager
def _captured(graph: _Graph, stream: object = None) -> Iterator[None]:
    """In the place of `torch.cuda.graph`."""
    with recording() as graph.recording:
        yield
    graph.recording.undo()


class _Event:
    """In the place of `torch.cuda.Event`."""

    def __init__(self, enable_timing: bool = False) -> None:
        pass

    def record(self) -> None:
        pass

    def elapsed_time(self, end: "_Event") -> float:
        return 1.0


@contextmanager
def fake_gpu(memory: int = 2**30) -> Iterator[Callable[[], Any]]:
    """For the block, the machine has a GPU.

    Args:
        memory: that it has, in bytes.

    Yields:
        Gives a context in which the GPU has work, and the host must not wait for it.
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
        # Below torch's own function, which refuses devices without a number.
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
    """Torch's own, for devices that it cannot find."""
    overwrites, lifts = torch.__future__.get_overwrite_module_params_on_conversion(), torch._C._only_lift_cpu_tensors()
    torch._C._ensureCUDADeviceGuardSet()
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        torch._C._set_only_lift_cpu_tensors(lifts)
