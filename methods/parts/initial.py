"""Initial weights: a function of the seed and of a parameter's name, and of nothing else."""

import math

import torch
from torch import Tensor, nn

from augment import draws
from methods.parts.queue import Queue
from methods.parts.twin import Twin

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


@torch.no_grad()
def initialise(module: nn.Module, seed: int) -> None:
    """Draw every weight on CPU, so that device, order of construction and other parts of the network do not matter.

    Convolutions are normal with the variance that keeps gradients in scale behind a ReLU (fan-out, as in torchvision's
    ResNet); linear layers and their biases are uniform within 1 / sqrt(inputs), torch's own default. Norms keep the
    constants they were built with; twins become copies of what they follow, and queues hold directions of their own
    until they are written.

    Args:
        module: a method or an encoder; parameters are named relative to it.
        seed: of the run.

    Raises:
        ValueError: if a layer has trainable weights and nobody here knows how to draw them.
    """
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(prefix, recurse=False):
            if parameter.requires_grad and not isinstance(layer, _NORMS):
                parameter.copy_(_drawn(layer, name, parameter, seed))
    for prefix, layer in module.named_modules():
        if isinstance(layer, Twin):
            layer.reset()
        elif isinstance(layer, Queue):
            layer.reset(draws.normal(seed, f"{prefix}.rows", layer.rows.shape))


def _drawn(layer: nn.Module, name: str, parameter: Tensor, seed: int) -> Tensor:
    if isinstance(layer, nn.Conv2d) and parameter is layer.weight:
        fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
        return draws.normal(seed, name, parameter.shape) * math.sqrt(2 / fan_out)
    if isinstance(layer, nn.Linear):
        return (2 * draws.uniform(seed, name, parameter.shape) - 1) / math.sqrt(layer.in_features)
    raise ValueError(
        f"initial weights are known for Linear, Conv2d without bias and norms, got {name} of {type(layer).__name__}; "
        "build it of these or teach methods/parts/initial.py"
    )
