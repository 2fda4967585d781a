"""What a trained encoder has to beat, by the run's own metrics: an untrained encoder, and the pixels themselves."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from orchestrator.core import hardware
from orchestrator.probing.features import CHUNK, encoder_features, normalised, pixel_features
from orchestrator.probing.sample import sample
from orchestrator.training.parts import Data, Metric

# The names end in a version where an earlier one gave other numbers: "random encoder", in folders of earlier sweeps, is
# the untrained encoder with closed residual branches and without statistics.
UNTRAINED = "untrained encoder/2"
PIXELS = "raw pixels"
CALIBRATION_IMAGES = 2048  # at most, which the statistics of an untrained encoder's norms come from

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)

# By metric, its standard error included.
Scores = dict[str, float]


def measured(encoder: nn.Module, metrics: Sequence[Metric], data: Data) -> dict[str, Scores]:
    """Every metric of an untrained encoder and of the pixels, by baseline.

    Args:
        encoder: with its initial weights, on the device that measures it.
        metrics: of the run.
        data: the run's images.

    Raises:
        ValueError: if a metric needs labels and there are none.
    """
    images = sample(data.splits["train"], CALIBRATION_IMAGES).images
    ready = calibrated(encoder, images, data.card.mean, data.card.std)
    encodes = {
        UNTRAINED: encoder_features(ready, data.card.mean, data.card.std),
        PIXELS: pixel_features(data.card.mean, data.card.std),
    }
    scores: dict[str, Scores] = {name: {} for name in encodes}
    for metric in metrics:
        for name, encode in encodes.items():
            scores[name] |= metric(encode, data.splits)
    return scores


@torch.no_grad()
def calibrated(
    encoder: nn.Module, images: UInt8[np.ndarray, "N H W 3"], mean: Sequence[float], std: Sequence[float]
) -> nn.Module:
    """A copy of an untrained encoder whose residual branches are open and whose batch norms know the images.

    As built, an encoder is a poor yardstick: norms whose scale starts at 0 close its residual branches, and batch norms
    in eval mode have means of 0 and variances of 1. Here, a scale that is 0 in all channels becomes 1, and one pass
    over the images sets the statistics: in chunks of equal size, at most 512 images each, every batch norm normalises
    by the statistics of its chunk, and afterwards its running mean and (unbiased) variance are the means over the
    chunks of those statistics. No weight is trained.

    Args:
        encoder: with its initial weights; not changed.
        images: training images.
        mean: per channel, in [0, 1].
        std: per channel, in [0, 1].

    Returns:
        The copy, in eval mode.
    """
    ready = copy.deepcopy(encoder).eval()
    device = next(ready.parameters()).device
    for norm in ready.modules():
        scale = getattr(norm, "weight", None) if isinstance(norm, _NORMS) else None
        if isinstance(scale, nn.Parameter) and not scale.any():
            scale.fill_(1)
        if isinstance(norm, _BatchNorm):
            norm.reset_running_stats()
            norm.momentum = None  # torch's sign for the mean over all chunks
            norm.train()
    for chunk in torch.from_dlpack(images).tensor_split(-(-len(images) // CHUNK)):
        ready(normalised(hardware.sent(chunk, device), mean, std).contiguous(memory_format=torch.channels_last))
    return ready.eval()
