"""One training shared out to several processes: what they do together, what rank 0 does for all, what must agree.

An error that all ranks meet, or rank 0 for all, is raised on all. One that a rank meets alone ends its process and with
it the others: on CPU their next exchange raises at once, and Ray Train ends the workers of a trial that has lost one.
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
    """What to call in the place of an objective, so that weights' gradients are those of the batch of all ranks.

    Alone it is the objective itself. Batch-norms are converted in place.
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
    """What rank 0 makes, on every rank; the others make nothing, and wait.

    Raises:
        Exception: whatever rank 0 raised, on all ranks, so that none waits for one that has given up.
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
    """Compare what every rank has in a module's weights and buffers, bit by bit, at the cost of one number for each.

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
