"""Batch-norm over the parts of a batch that several ranks have, on any device; torch's SyncBatchNorm needs a GPU."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm  # of all dimensions, and of libraries that add an activation
from torch.overrides import TorchFunctionMode

from methods.parts.gather import average, gather, world_size


def convert(module: nn.Module) -> None:
    """Make every batch-norm in a module take its statistics over all ranks; in place, names and weights stay.

    In eval mode nothing changes. In train mode every rank must make the same calls, with parts of equal size.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.__class__ = _across_ranks(type(norm))


@cache
def _across_ranks(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    return type(kind.__name__, (_AcrossRanks, kind), {})


class _AcrossRanks(_BatchNorm):
    """Goes before a kind of batch-norm, whose own forward pass then calls our function for torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output."""
        if not self.training:
            return super().forward(input)
        with _Replaced():
            return super().forward(input)


class _Replaced(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def batch_norm(
    maps: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm` in train mode, on the batch that all ranks' parts make together.

    Args:
        maps: this rank's part, (B, C) or (B, C, ...); as large on every rank.
        running_mean: moved towards the batch's, or None.
        running_var: moved towards the batch's, the unbiased one, or None.
        weight: of the channels, or None for 1.
        bias: of the channels, or None for 0.
        training: must be true; without it there is nothing to exchange.
        momentum: share of the batch in the running statistics.
        eps: added to the variance.
    """
    assert training
    normalised, mean, variance = _Normalise.apply(maps, weight, bias, eps)  # pyright: ignore[reportGeneralTypeIssues]
    if running_mean is not None and running_var is not None:
        count = world_size() * _count(maps)
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (count / (count - 1)), momentum)
    return normalised


class _Normalise(torch.autograd.Function):
    """Two small exchanges: each rank's statistics on the way there, two sums per channel on the way back.

    Between them work torch's own fused kernels, those of batch-norm with given statistics. Ranks tell means and
    variances, not sums of squares, of whose difference few digits are left where the mean is large.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.stack(_statistics(maps))[None]
        means, variances = gather(own).unbind(1)  # (W, C) each
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        ctx.save_for_backward(maps, mean, variance, weight)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return functional.batch_norm(maps, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, mean, variance, weight = ctx.saved_tensors
        scale = torch.ones_like(mean) if weight is None else weight
        deviation = (variance + ctx.eps).rsqrt()
        # As if the statistics were given, for this rank's part: DistributedDataParallel averages weights' gradients.
        # A CPU's kernel then reads the running statistics only; CUDA's asserts that the saved ones are defined.
        of_maps, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], maps, scale, mean, variance, mean, deviation, False, ctx.eps, [True, True, True]
        )
        # They are the batch's, though, and what they do to any rank's loss comes back to this rank's part.
        of_mean, of_deviation = average(torch.stack((of_bias, of_weight))) / _count(maps)
        back = -scale * deviation
        of_maps += functional.batch_norm(maps, mean, variance, back * of_deviation, back * of_mean, eps=ctx.eps)
        return of_maps, None if weight is None else of_weight, None if weight is None else of_bias, None


def _statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel on this rank, (C,); of low precision in float32."""
    # The kernel wants running statistics, and takes from them the precision in which it answers.
    running = maps.new_zeros(2, maps.shape[1], dtype=torch.promote_types(maps.dtype, torch.float32))
    return torch.batch_norm_update_stats(maps, running[0], running[1], 0.0)


def _count(maps: Tensor) -> int:
    """Of the values in a channel, on this rank."""
    return maps.numel() // maps.shape[1]
