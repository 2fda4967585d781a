"""Images in, features out: what every evaluation is handed instead of an encoder."""

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

# uint8 images (N, H, W, 3) to float32 features (N, D) on the encoder's device; the same array gives the same ones.
Encode = Callable[[np.ndarray], Tensor]

CHUNK = 512  # images per pass: large enough to be quick, small enough for any memory


def normalised(
    images: UInt8[Tensor, "B H W 3"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "B 3 H W"]:
    """Bytes as an encoder wants them: in [0, 1], then less the mean and over the deviation of each channel."""
    return standardised(planes(images), mean, std)


def planes(images: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes as numbers in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def standardised(images: Float[Tensor, "B 3 H W"], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Numbers less the mean and over the deviation of each channel, (B, 3, H, W)."""
    means, deviations = (constant(values, images)[:, None, None] for values in (mean, std))
    return (images - means) / deviations


def encoder_features(encoder: nn.Module, mean: Sequence[float], std: Sequence[float]) -> Encode:
    """An encoder's pooled features, in eval mode, without gradient, in float32 on the encoder's own device.

    Results are remembered by the identity of the array, so that several evaluations of one split encode it once: make a
    new `Encode` whenever the weights have changed. Where several ranks share a training, each encodes a share of the
    chunks and gets all features, so all must ask for the same arrays.

    Args:
        encoder: maps normalised (B, 3, H, W) to (B, D); its mode is put back after each call.
        mean: per channel, in [0, 1].
        std: per channel, in [0, 1].
    """
    remembered: dict[int, tuple[np.ndarray, Tensor]] = {}  # the array is kept too, so that its id stays its own
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
    """This rank's run of chunks, whole ones, so that features do not depend on how many ranks make them."""
    count = -(-len(chunks) // world_size())
    # Who has none left makes some that nobody reads, of which there must be the same shape.
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
    """The normalised pixels themselves, (N, 3 H W): what any encoder has to beat."""

    def encode(images: np.ndarray) -> Tensor:
        features = torch.empty(len(images), images[0].size)
        # Into their place, for all pixels as numbers are four times the images, and each further copy is as much again.
        for chunk, place in zip(torch.from_dlpack(images).split(CHUNK), features.split(CHUNK), strict=True):
            place.copy_(normalised(chunk, mean, std).flatten(1))
        return features

    return encode


def unit(features: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Features on the unit sphere, where the product of two is their cosine."""
    return functional.normalize(features, dim=1)


def labels_of(images: ImageSet) -> Int64[Tensor, "N"]:
    """The labels of a split that must have them, on CPU.

    Raises:
        ValueError: if it has none.
    """
    if images.labels is None:
        raise ValueError("this evaluation needs labels, and the data set has none; use view_retrieval and collapse")
    return torch.from_dlpack(images.labels)


def standard_error(share: float, count: int) -> float:
    """Of a share of `count` independent right-or-wrong answers, in percentage points (images as the only chance)."""
    return 100 * (share * (1 - share) / count) ** 0.5
