"""What the ranks of one training exchange; without a process group there is one rank, and nothing is sent.

Of every batch rank r of W has the r-th of W equal parts, so that what is gathered lies in the batch's own order.
"""

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed


def world_size() -> int:
    """The number of ranks."""
    return distributed.get_world_size() if _grouped() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return distributed.get_rank() if _grouped() else 0


def part(rows: Tensor) -> Tensor:
    """This rank's part of rows that every rank has; `gather` puts the parts together again.

    Args:
        rows: a multiple of the number of ranks.
    """
    return rows.chunk(world_size())[rank()]


def gather(rows: Shaped[Tensor, "B *_"]) -> Shaped[Tensor, "N *_"]:
    """The rows of all ranks in the order of the ranks, with gradient: what they mean to every rank's loss comes back.

    It is that of the sum of the ranks' losses, as is that of batch-norm across ranks: the mean of weights' gradients
    over ranks, which DistributedDataParallel takes, is then that of the mean loss.

    Args:
        rows: as many on every rank.
    """
    return rows if world_size() == 1 else _Gather.apply(rows)  # pyright: ignore[reportReturnType]


@torch.no_grad()
def average(values: Tensor) -> Tensor:
    """The mean of what the ranks have, as a constant; of losses that are means over equal parts, the batch's loss."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / world_size()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return part(total)


def _grouped() -> bool:
    return distributed.is_available() and distributed.is_initialized()
