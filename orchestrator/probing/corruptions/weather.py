"""Weather: snow, frost, fog and glaring light."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from augment.color import luma
from orchestrator.probing.corruptions.filters import magnified, motion_blurred
from orchestrator.probing.draw import Draw

# What the five photographs of frost behind the published sets look like: gray of 0.48 to 0.81, deviation of 0.07 to
# 0.17, bluish, and about as much contrast in every octave (power falls as the frequency to the -1.5 to -2.0).
FROST_GRAY = (0.48, 0.81)
FROST_DEVIATION = (0.07, 0.17)
FROST_TINT = (-0.08, 0.02, 0.06)


def snow(
    images: Float[Tensor, "B 3 H W"],
    draw: Draw,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    kept: float,
) -> Float[Tensor, "B 3 H W"]:
    """Flakes that fall at an angle of up to 45 degrees to the vertical, over a whitened image.

    Args:
        images: in [0, 1].
        draw: of flakes and their angle.
        mean: of the normal noise that flakes are made of.
        deviation: of the same.
        zoom: by which the noise is magnified, >= 1.
        threshold: below which there is no flake.
        radius: of the smear of flakes, in pixels.
        sigma: of the same.
        kept: share of the image that is not whitened.
    """
    noise = mean + deviation * draw.normal("flakes", 1, *images.shape[-2:])
    flakes = magnified(noise, zoom)
    flakes = (255 * torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)).floor() / 255
    flakes = motion_blurred(flakes, draw.between(-135.0, -45.0, "angle", 1)[:, 0], radius=radius, sigma=sigma)
    whitened = torch.maximum(images, 1.5 * luma(images) + 0.5)
    return kept * images + (1 - kept) * whitened + flakes + flakes.rot90(2, (-2, -1))


def frost(images: Float[Tensor, "B 3 H W"], draw: Draw, kept: float, frosted: float) -> Float[Tensor, "B 3 H W"]:
    """`kept` of the image under `frosted` of a texture of crystals.

    Source: the published sets lay photographs over the image. They cannot be passed on, so ours are drawn: ridges of
        noise, alike in brightness, contrast, hue and spectrum. The scores are not those of the published sets.
    """
    return kept * images + frosted * _crystals(images.shape[2], images.shape[3], draw)


def _crystals(height: int, width: int, draw: Draw) -> Float[Tensor, "B 3 H W"]:
    octaves = range(1, int(math.log2(max(height, width))))
    ridges = sum(
        _ridges(draw.uniform(f"octave {octave}", 1, 2**octave, 2**octave), (height, width)) for octave in octaves
    )
    assert isinstance(ridges, Tensor)
    ridges = ridges - ridges.mean(dim=(1, 2, 3), keepdim=True)
    ridges = ridges / ridges.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    gray = draw.between(*FROST_GRAY, "gray", 1, 1, 1)
    deviation = draw.between(*FROST_DEVIATION, "deviation", 1, 1, 1)
    tint = ridges.new_tensor(FROST_TINT)[:, None, None]
    return (gray + tint + deviation * ridges).clamp(0, 1)


def _ridges(noise: Float[Tensor, "B 1 G G"], shape: tuple[int, int]) -> Float[Tensor, "B 1 H W"]:
    """Lines where smooth noise passes through its middle, as between crystals that grew towards each other."""
    smooth = functional.interpolate(noise, size=shape, mode="bicubic", align_corners=True)
    return 1 - (2 * smooth - 1).abs()


def fog(images: Float[Tensor, "B 3 H W"], draw: Draw, density: float, decay: float) -> Float[Tensor, "B 3 H W"]:
    """`density` of a cloud laid over the image, whose brightest value the sum keeps."""
    height, width = images.shape[-2:]
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    cloud = _cloud(max(height, width), decay, draw)[:, None, :height, :width]
    return (images + density * cloud) * brightest / (brightest + density)


def _cloud(side: int, decay: float, draw: Draw) -> Float[Tensor, "B S S"]:
    """A fractal in [0, 1] by the diamond-square method, on a torus whose side S is a power of two.

    Args:
        side: that it must have at least, in pixels.
        decay: the larger, the smoother: a step of half the length moves the field decay^2 times less.
        draw: of the moves.
    """
    size = 1 << (side - 1).bit_length()
    field = torch.zeros(len(draw.rows), size, size)
    step, move = size, 1.0
    while step >= 2:
        half, cells = step // 2, size // step
        centre, right, below = draw.between(-move, move, f"step {step}", 3, cells, cells).unbind(1)
        corners = field[:, ::step, ::step]
        across = corners + corners.roll(-1, 2)
        centre = (across + across.roll(-1, 1)) / 4 + centre
        field[:, half::step, half::step] = centre
        field[:, ::step, half::step] = (across + centre + centre.roll(1, 1)) / 4 + right
        field[:, half::step, ::step] = (corners + corners.roll(-1, 1) + centre + centre.roll(1, 2)) / 4 + below
        step, move = half, move / decay**2
    field = field - field.amin(dim=(1, 2), keepdim=True)
    return field / field.amax(dim=(1, 2), keepdim=True)


def brightness(images: Float[Tensor, "B 3 H W"], draw: Draw, more: float) -> Float[Tensor, "B 3 H W"]:
    """`more` value at the same hue and saturation, which a common factor of the three channels leaves as they are."""
    value = images.amax(dim=1, keepdim=True)
    brighter = (value + more).clamp(max=1)
    # Black has no hue: it becomes gray.
    return torch.where(value > 0, images * (brighter / value.clamp(min=1 / 255)), brighter)
