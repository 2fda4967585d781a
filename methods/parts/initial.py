"""Initial weights: a function of the seed and of a parameter's name, and of nothing else."""

import math
import re

import torch
from torch import Tensor, nn

from augment import draws
from methods.parts.memory_bank import MemoryBank
from methods.parts.momentum_encoder import MomentumEncoder
from methods.parts.prototypes import Prototypes

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Names of what a transformer adds to what it reads: class and register tokens, absolute and relative positions.
_ADDED = re.compile(r"(token|pos|rel|latent)[^.]*$")
_ADDED_SPREAD = 0.02


@torch.no_grad()
def init_weights(module: nn.Module, seed: int) -> None:
    """Draw every weight on CPU, independently of device, order of construction and other parts of the network.

    Convolutions without bias are normal with the variance that keeps gradients in scale behind a ReLU (fan-out, as in
    torchvision's ResNet); those with bias, such as the patches of a transformer, and linear layers are uniform within
    1 / sqrt(inputs), biases included, torch's own default. Tokens, positions and embeddings are normal with deviation
    0.02. What was built constant stays constant: the ones and zeros of norms, zeroed biases and branches, layer scales.
    Momentum encoders become copies of their online networks, prototypes are put on the unit sphere, and memory banks
    hold random directions until they are written.

    Args:
        module: a method or an encoder; parameters are named relative to it.
        seed: of the run.

    Raises:
        ValueError: if a layer has trainable weights of an unknown kind.

    Source: deviation 0.02 as in arXiv 2010.11929's code and in timm, which draw a transformer's linear layers with it
        too, or by Xavier's rule; ours lie between the two.
    """
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(prefix, recurse=False):
            if parameter.requires_grad and not _is_constant(parameter):
                parameter.copy_(_drawn(layer, name, parameter, seed))
    for prefix, layer in module.named_modules():
        if isinstance(layer, MomentumEncoder | Prototypes):
            layer.reset()
        elif isinstance(layer, MemoryBank):
            layer.reset(draws.normal(seed, f"{prefix}.rows", layer.rows.shape))


def _is_constant(parameter: Tensor) -> bool:
    """Whether it was built and not drawn; a single number might be either, if it is not 0 or 1."""
    first = parameter.flatten()[0]
    return bool((parameter == first).all()) and (parameter.numel() > 1 or first.item() in (0, 1))


def _drawn(layer: nn.Module, name: str, parameter: Tensor, seed: int) -> Tensor:
    if isinstance(layer, _CONVOLUTIONS) and layer.bias is None:
        fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
        return draws.normal(seed, name, parameter.shape) * math.sqrt(2 / fan_out)
    if isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
        num_inputs = layer.weight[0].numel()
        return (2 * draws.uniform(seed, name, parameter.shape) - 1) / math.sqrt(num_inputs)
    if isinstance(layer, nn.Embedding) or _ADDED.search(name):
        return _ADDED_SPREAD * draws.normal(seed, name, parameter.shape)
    raise ValueError(
        f"initial weights are known for Linear, Conv, Embedding, tokens, positions and constants, got {name} of "
        f"{type(layer).__name__}; build it of these or teach methods/parts/initial.py"
    )
