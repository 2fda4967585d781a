"""Functions from images to features, which metrics and protocols receive instead of an encoder."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from augment.constants import constant
from methods.parts.gather import gather, rank, world_size
from orchestrator.core import hardware
from orchestrator.data.images import ImageSet

# uint8 images (N, H, W, 3) to float32 features (N, D) on the encoder's device; the same array gives the same features.
Encode = Callable[[np.ndarray], Tensor]

CHUNK = 512  # images per pass: large enough to be fast, small enough to fit in memory


def normalised(
    images: UInt8[Tensor, "B H W 3"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "B 3 H W"]:
    """Bytes scaled to [0, 1] and standardised per channel."""
    return standardised(planes(images), mean, std)


def planes(images: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes scaled to [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def standardised(images: Float[Tensor, "B 3 H W"], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images minus the mean, divided by the standard deviation of each channel, (B, 3, H, W)."""
    means, deviations = (constant(values, images)[:, None, None] for values in (mean, std))
    return (images - means) / deviations


def encoder_features(encoder: nn.Module, mean: Sequence[float], std: Sequence[float]) -> Encode:
    """An encoder's pooled features, in eval mode, without gradient, in float32 on the encoder's own device.

    Results are cached by the identity of the array, so that several metrics of one split encode it once: create a new
    `Encode` when the weights have changed. With several ranks, each encodes a share of the chunks and receives all
    features, so all ranks must pass the same arrays.

    Args:
        encoder: maps normalised (B, 3, H, W) to (B, D); its mode is restored after each call.
        mean: per channel, in [0, 1].
        std: per channel, in [0, 1].
    """
    remembered: dict[int, tuple[np.ndarray, Tensor]] = {}  # holds the array, so that its id is not reused
    device = next(encoder.parameters()).device

    def encode(images: np.ndarray) -> Tensor:
        if id(images) not in remembered:
            training = encoder.training
            encoder.eval()
            chunks = (hardware.sent(chunk, device) for chunk in _shared_out(torch.from_dlpack(images).split(CHUNK)))
            with torch.no_grad():
                features = [
                    encoder(normalised(chunk, mean, std).contiguous(memory_format=torch.channels_last))
                    for chunk in chunks
                ]
            encoder.train(training)
            remembered[id(images)] = images, _gathered(torch.cat(features).float(), len(images))
        return remembered[id(images)][1]

    return encode


def _shared_out(chunks: Sequence[Tensor]) -> Sequence[Tensor]:
    """This rank's share of whole chunks, so that features do not depend on the number of ranks."""
    count = -(-len(chunks) // world_size())
    # Ranks without a chunk encode a dummy so that gather() sees equal shapes.
    return chunks[rank() * count :][:count] or chunks[:1]


def _gathered(features: Tensor, num_images: int) -> Tensor:
    """The features of all ranks' chunks, in the order of the images."""
    if world_size() == 1:
        return features
    chunks = -(-num_images // CHUNK)
    rows = -(-chunks // world_size()) * CHUNK
    padded = functional.pad(features, (0, 0, 0, rows - len(features)))
    return gather(padded)[:num_images]


def pixel_features(mean: Sequence[float], std: Sequence[float]) -> Encode:
    """The normalised pixels themselves, (N, 3 H W), as a baseline."""

    def encode(images: np.ndarray) -> Tensor:
        features = torch.empty(len(images), images[0].size)
        # Written in place: float32 pixels take four times the memory of the images, and so would every copy.
        for chunk, place in zip(torch.from_dlpack(images).split(CHUNK), features.split(CHUNK), strict=True):
            place.copy_(normalised(chunk, mean, std).flatten(1))
        return features

    return encode


def unit(features: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Features of unit length, whose dot products are cosines."""
    return functional.normalize(features, dim=1)


def labels_of(images: ImageSet) -> Int64[Tensor, "N"]:
    """The labels of a split, on CPU.

    Raises:
        ValueError: if it has none.
    """
    if images.labels is None:
        raise ValueError("this evaluation needs labels, and the data set has none; use view_retrieval and collapse")
    return torch.from_dlpack(images.labels)


def standard_error(share: float, count: int) -> float:
    """Standard error of a share of `count` independent binary outcomes, in percentage points (over images only)."""
    return 100 * (share * (1 - share) / count) ** 0.5
