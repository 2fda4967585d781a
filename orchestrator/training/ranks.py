"""One training on several processes: what rank 0 does for all, and what must agree.

An error on all ranks, or on rank 0 in `from_first`, is raised on all. An error on a single rank ends its process and
the others: on CPU their next collective raises at once, and Ray Train ends the workers of a trial that lost one.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from methods.parts import norm
from methods.parts.gather import gather, rank, world_size

Made = TypeVar("Made")


def share(objective: nn.Module) -> nn.Module:
    """Wrap an objective so that the gradients of its weights are those of the batch of all ranks.

    With one rank it is the objective itself. Batch-norms are converted in place.
    """
    if world_size() == 1:
        return objective
    norm.convert(objective)
    # The mean over ranks that it takes is right for losses that are means over equal parts of a batch: what crosses
    # ranks inside them (`gather`, batch-norm) sends back the gradient of the sum of all ranks' losses.
    parallel = DistributedDataParallel(objective)
    parallel.broadcast_buffers = False  # they agree without being sent; the argument's name depends on torch's version
    return parallel


def from_first(make: Callable[[], Made]) -> Made:
    """The result of `make` on rank 0, on every rank; the other ranks wait.

    Raises:
        Exception: what rank 0 raised, on all ranks, so that none waits forever.
    """
    if world_size() == 1:
        return make()
    outcome: list = [None, None]
    if rank() == 0:
        try:
            outcome[0] = make()
        except Exception as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome)
    made, error = outcome
    if error is not None:
        raise error
    return made


def require_agreement(module: nn.Module) -> None:
    """Require that weights and buffers are equal on all ranks, by one checksum for each.

    Raises:
        RuntimeError: naming what differs; on all ranks.
    """
    if world_size() == 1:
        return
    state = module.state_dict()
    sums = gather(torch.stack([_checksum(tensor) for tensor in state.values()])[None])
    differing = [name for name, same in zip(state, (sums == sums[0]).all(0).tolist(), strict=True) if not same]
    if differing:
        raise RuntimeError(f"the ranks' training has drifted apart in {len(differing)} tensors: {', '.join(differing)}")


def _checksum(tensor: Tensor) -> Tensor:
    """A 0-d int64 that any changed bit and any two numbers that change places change, modulo 2^64."""
    bits = tensor.view(_INTEGERS[tensor.element_size()]).flatten().long()
    return (bits * torch.arange(1, 2 * len(bits), 2, device=bits.device)).sum()


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
