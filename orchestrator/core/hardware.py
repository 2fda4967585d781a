"""The device that computes, and its numerical settings."""

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import torch
from torch import Tensor
from torch.utils import deterministic

_FILL = "fill_uninitialized_memory"  # a property of the module, which type checkers do not see


def device() -> torch.device:
    """The GPU that this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def captures(device: torch.device) -> bool:
    """Whether work on a device can be captured, and repeated without its launches."""
    return device.type == "cuda"


def wait_for(device: torch.device) -> None:
    """Wait until a device has done its work; a CPU has at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def has_room(device: torch.device, images: int) -> bool:
    """Whether images of so many bytes should lie on a device: a GPU has half of what this process may take for them."""
    if device.type == "cpu":
        return True
    # Without a word the function takes the device in use; one without a number, as ours, it refuses.
    share = torch.cuda.get_per_process_memory_fraction()
    return 2 * images <= share * torch.cuda.get_device_properties(device).total_memory


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a tensor on a device, without waiting for the copy.

    A copy from memory that is not pinned waits until all work before it is done.
    """
    if device.type == "cuda" and tensor.is_cpu:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def process_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def computes_bf16(device: torch.device) -> bool:
    """Whether products of bfloat16 numbers are made in hardware; emulated ones are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))


def uses_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Whether a training of this precision runs in bfloat16 here."""
    return precision == "bf16" or (precision == "auto" and computes_bf16(device))


@contextmanager
def arithmetic(threads: int, device: torch.device) -> Iterator[None]:
    """Repeatable arithmetic in the block; the settings before it are restored.

    On CPU the same threads give the same bits, so torch is held to its deterministic kernels. On a GPU it may take
    the fastest.

    Args:
        threads: of the CPU.
        device: where the work is done.
    """
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    filled = getattr(deterministic, _FILL)
    torch.set_num_threads(threads)
    # The same switch as use_deterministic_algorithms, which would first spend seconds on importing the compiler.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
    setattr(deterministic, _FILL, False)  # costs time, and no kernel here reads what it has not written
    torch.backends.cudnn.benchmark = device.type == "cuda"
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.backends.cudnn.benchmark = before[2]
        setattr(deterministic, _FILL, filled)


@contextmanager
def memory_share(share: float) -> Iterator[None]:
    """Limit this process to its share of the GPU's memory in the block, and free its memory afterwards.

    Otherwise the first of several trials on one GPU could take all memory, and another one would fail.

    Args:
        share: of a GPU, as many as the process was given; 1 or more, or 0, is no limit.
    """
    limited = 0 < share < 1 and torch.cuda.is_available()
    if limited:
        torch.cuda.set_per_process_memory_fraction(share)
    try:
        yield
    finally:
        if limited:
            torch.cuda.set_per_process_memory_fraction(1.0)
        if torch.cuda.is_initialized():
            # What a trial leaves, its neighbours need.
            gc.collect()  # a step and the graphs of it know each other
            torch._C._cuda_clearCublasWorkspaces()  # one for each stream that there was
            with suppress(RuntimeError):  # torch 2.11 gives nothing back once a capture has failed
                torch.cuda.empty_cache()
