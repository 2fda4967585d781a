"""From the bytes of an image file to a square of RGB: the one way in for a user's own images."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from orchestrator.core.errors import first_line

# Of the files that count as images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

_WIDE_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # grey of 16 bits; PNG and TIFF have it
_WIDE_STEP = 257  # of 16 bits in one of 8
_FOREGROUND = 128  # a mask without a pixel as bright as this shows nothing


class Unreadable(ValueError):
    """An image that cannot be decoded; the message says why."""


@dataclass(frozen=True)
class Square:
    """A decoded image and its mask.

    Args:
        image: RGB.
        mask: foreground coverage, all 0 where there is no usable mask.
        unmasked: why there is none (missing, damaged, of another size than the image, empty); nothing where there is.
    """

    image: UInt8[np.ndarray, "S S 3"]
    mask: UInt8[np.ndarray, "S S"]
    unmasked: str


def square(content: bytes | None, mask: bytes | None, size: int, *, border: int = 0, centre: float = 1.0) -> Square:
    """Decode an image and its mask, turn them upright, and cut the middle out of them.

    The shorter side becomes `size / centre` pixels (bicubic for the image, bilinear for the mask, both antialiased),
    and the middle is kept. Transparent pixels are laid over white, 16-bit grey is divided by 257, and of a file with
    several frames the first is taken.

    Args:
        content: of the image file, or None where there is none.
        mask: of a mask file: grey, 255 is foreground, as large as the upright image; or None.
        size: side of the result in pixels.
        border: pixels on each side of the upright image that are cut off first; there is none around the mask.
        centre: of the shorter side the share that is kept, in (0, 1].

    Raises:
        Unreadable: if the image cannot be decoded; a mask that cannot counts as none.
    """
    if not content:
        raise Unreadable("nothing there to be read")
    upright = _opened(content)
    if border:
        upright = upright.crop((border, border, upright.width - border, upright.height - border))
    image = np.asarray(_cut(_rgb(upright), size, centre, Image.Resampling.BICUBIC))
    try:
        return Square(image, _coverage(mask, upright.size, size, centre), unmasked="")
    except Unreadable as error:
        return Square(image, np.zeros((size, size), np.uint8), unmasked=str(error))


def _coverage(content: bytes | None, image_size: tuple[int, int], size: int, centre: float) -> UInt8[np.ndarray, "S S"]:
    """The square of a mask whose image has this width and height, if it can be used."""
    if not content:
        raise Unreadable("missing")
    mask = _opened(content)
    if mask.size != image_size:
        pixels = [f"{width} x {height}" for width, height in (mask.size, image_size)]
        raise Unreadable(f"of {pixels[0]} pixels, its image of {pixels[1]}")
    coverage = np.asarray(_cut(_eight_bits(mask).convert("L"), size, centre, Image.Resampling.BILINEAR))
    if not (coverage >= _FOREGROUND).any():
        raise Unreadable(f"empty: no pixel of {_FOREGROUND} or more")
    return coverage


def _opened(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            return opened
    except UnidentifiedImageError as error:
        raise Unreadable("no image in a format that Pillow knows") from error
    # A decoder raises whatever it trips over: OSError, SyntaxError, struct.error, ValueError, a bomb's own error, ...
    except Exception as error:
        raise Unreadable(first_line(error) or type(error).__name__) from error


def _rgb(image: Image.Image) -> Image.Image:
    """Colours as a viewer shows them."""
    image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _eight_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255, which turns a 16-bit image white.
    if image.mode in _WIDE_GREY:
        return Image.fromarray((np.asarray(image).clip(0, 65535) / _WIDE_STEP).round().astype(np.uint8))
    if image.mode == "F":
        raise Unreadable("its pixels are floating-point numbers, whose range nobody knows")
    return image


def _cut(image: Image.Image, size: int, centre: float, filter: Image.Resampling) -> Image.Image:
    """The middle square, the shorter side brought to `size / centre`; rounded as torchvision rounds."""
    shorter, whole = min(image.size), round(size / centre)
    width, height = (whole * side // shorter for side in image.size)
    resized = image.resize((width, height), filter)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))
