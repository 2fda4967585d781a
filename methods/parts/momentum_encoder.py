"""The momentum encoder: a moving average of the online network that makes keys."""

# pyright: reportPrivateImportUsage=false
# torch has its fused operations on lists of tensors under names with an underscore.

import math
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MomentumEncoder(nn.Module):
    """A copy of some networks whose parameters are a moving average of theirs.

    Only parameters are averaged. Batch-norm buffers are its own: it runs in train mode on its own batches, as in
    BYOL's and MSR's code. The parameters take no gradient, and a state dict holds them like any others.

    Args:
        online: the networks to follow, applied one after the other.
    """

    def __init__(self, *online: nn.Module) -> None:
        super().__init__()
        self.networks = nn.Sequential(*(deepcopy(network) for network in online)).requires_grad_(False)
        # A tuple hides them from nn.Module, which would list the online parameters a second time.
        self._online = online

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _"], ...]:
        """The output of each network of the chain, without gradient."""
        outputs: list[Tensor] = [images]
        for network in self.networks:
            outputs.append(network(outputs[-1]))
        return tuple(outputs[1:])

    @torch.no_grad()
    def reset(self) -> None:
        """Make every parameter equal to the online one."""
        torch._foreach_copy_(self._own_parameters(), self._online_parameters())

    @torch.no_grad()
    def update(self, rate: Float[Tensor, ""]) -> None:
        """Move every parameter towards the online one by `rate`, own + rate * (online - own); 0 changes no bit.

        Args:
            rate: 1 - momentum, in [0, 1], 0-d, on the parameters' device. Momenta end so close to 1 that 1 - momentum
                would lose its digits in float32.
        """
        own = self._own_parameters()
        # Three fused kernels: lerp has no fused form for a weight that stays on the device.
        steps = torch._foreach_sub(self._online_parameters(), own)
        torch._foreach_mul_(steps, rate.to(own[0].dtype))
        torch._foreach_add_(own, steps)

    def _own_parameters(self) -> list[Tensor]:
        return list(self.networks.parameters())

    def _online_parameters(self) -> list[Tensor]:
        return [parameter for network in self._online for parameter in network.parameters()]


def cosine_rate(progress: Float[Tensor, ""], momentum: float) -> Float[Tensor, ""]:
    """The rate of a momentum encoder that slows down: 1 - `momentum` at the start, falling along a half-cosine to 0.

    Args:
        progress: share of the budget done, in [0, 1].
        momentum: at progress 0.

    Source: BYOL, arXiv 2006.07733, 3.3; (cos pi x + 1) / 2 as sin^2 (pi (1 - x) / 2), which keeps its digits near 0.
    """
    return (1 - momentum) * torch.sin(math.pi / 2 * (1 - progress)).square()
