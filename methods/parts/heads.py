"""The small networks between an encoder and a loss."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """A projector or predictor: linear layers with batch-norm and ReLU between them, none at the end.

    Args:
        sizes: number of inputs, of each hidden layer, and of outputs.

    Returns:
        A network from (B, sizes[0]) to (B, sizes[-1]); its last layer has no bias.

    Source: MSR's official code (projector and predictor of BYOL), which leaves out the last bias that BYOL's paper
        (arXiv 2006.07733, 3.3) keeps; MoCo v2 with batch-norm in the head, as AugSelf's code has it for SimCLR.
    """
    layers: list[nn.Module] = []
    for num_inputs, num_hidden in pairwise(sizes[:-1]):
        layers += [nn.Linear(num_inputs, num_hidden), nn.BatchNorm1d(num_hidden), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1], bias=False))
