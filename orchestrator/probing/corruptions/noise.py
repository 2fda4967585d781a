"""Noise: Gaussian, shot and impulse noise, apart for each channel of each pixel."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from orchestrator.probing.draw import Draw

BYTES = 256  # values of a channel


def gaussian_noise(images: Float[Tensor, "B 3 H W"], draw: Draw, scale: float) -> Float[Tensor, "B 3 H W"]:
    """Normal noise of deviation `scale`, in [0, 1]: low light."""
    return images + scale * draw.normal("noise", *images.shape[1:])


def shot_noise(images: Float[Tensor, "B 3 H W"], draw: Draw, photons: float) -> Float[Tensor, "B 3 H W"]:
    """Poisson noise, where full brightness is `photons` photons.

    Poisson numbers by inversion: as images are made of bytes, there are only 256 distributions, which are laid end to
    end in one sorted table.
    """
    most = math.ceil(photons + 10 * math.sqrt(photons) + 20)  # more has a probability below 2^-24
    rates = photons * torch.arange(BYTES, dtype=torch.float64) / (BYTES - 1)
    counts = torch.arange(most, dtype=torch.float64)
    shares = torch.special.gammaincc(counts + 1, rates[:, None])  # (256, most): of draws that are no larger
    values = ((BYTES - 1) * images).round().long()
    table = (shares + torch.arange(BYTES)[:, None]).flatten()
    places = torch.searchsorted(table, draw.uniform("photons", *images.shape[1:]).double() + values, right=True)
    return (places - most * values) / photons


def impulse_noise(images: Float[Tensor, "B 3 H W"], draw: Draw, share: float) -> Float[Tensor, "B 3 H W"]:
    """A `share` of all values turned to 0 or to 1, half and half: broken pixels."""
    number = draw.uniform("impulse", *images.shape[1:])
    return torch.where(number < share, (number < share / 2).to(images.dtype), images)
