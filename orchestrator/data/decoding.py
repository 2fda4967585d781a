"""Decodes the bytes of an image file into an RGB square: every data set of the user's own files goes through here."""

import io
import math
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from orchestrator.core.errors import first_line
from orchestrator.data.metadata import without_metadata

MAX_PIXELS = 178_956_970  # Pillow's own limit, above which it suspects a decompression bomb
WIDE_PEAK = 65_535  # the largest value of a 16-bit pixel

Interpolation = Literal["bicubic", "bilinear"]
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_WIDE_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # grey of 16 bits; PNG and TIFF have it
_WIDE_STEP = 257  # of 16 bits in one of 8
_FOREGROUND = 128  # a mask without a pixel as bright as this shows nothing
_LARGE = 2**24  # pixels, from which on an image takes 50 megabytes or more
_REACH = 3  # pixels, of the coarser grid, that a resized pixel depends on to each side; bicubic needs 2
_UNSUPPORTED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}  # Pillow runs another program for them, or cannot decode
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation

_large_image = threading.Lock()  # large images are decoded one at a time


class Unreadable(ValueError):
    """An image that cannot be decoded; the message says why."""


@dataclass(frozen=True)
class Square:
    """A decoded image and its mask.

    Args:
        image: RGB.
        mask: foreground coverage, all 0 without a usable mask.
        unmasked: why there is no usable mask (missing, damaged, another size than the image, empty), or "".
        binary_mask: whether the mask's values are 0 and 1, where 1 is foreground.
        peak: largest value of a 16-bit image before it was reduced to 8 bits; None for any other image.
    """

    image: UInt8[np.ndarray, "S S 3"]
    mask: UInt8[np.ndarray, "S S"]
    unmasked: str
    binary_mask: bool = False
    peak: int | None = None


def square(
    content: bytes | None,
    mask: bytes | None,
    size: int,
    *,
    border: int = 0,
    centre: float = 1.0,
    interpolation: Interpolation = "bicubic",
    max_pixels: int = MAX_PIXELS,
) -> Square:
    """Decodes an image and its mask, turns them upright, and cuts out their central square.

    The shorter side becomes `size / centre` pixels (by `interpolation` for the image, bilinear for the mask, both
    antialiased), and the centre is kept. Transparent pixels are laid over white, 16-bit grey is divided by 257, and the
    first frame of an animation is used. Metadata that cannot be parsed are ignored.

    Args:
        content: of the image file, or None without one.
        mask: of a mask file: grey, 255 is foreground (or 1, if its values are 0 and 1), as large as the upright image;
            or None.
        size: side of the result in pixels.
        border: pixels on each side of the upright image that are cut off first; the mask has none.
        centre: share of the shorter side that is kept, in (0, 1].
        interpolation: with which the image is resized.
        max_pixels: of the image; a larger one is not decoded.

    Raises:
        Unreadable: if the image cannot be decoded; a mask that cannot be decoded counts as none.
    """
    if not content:
        raise Unreadable("nothing there to be read")
    opened = _opened(content, max_pixels)
    with _large_image if opened.width * opened.height > _LARGE else nullcontext():
        wide = _is_wide(opened)
        upright = _upright(opened, content, max_pixels)
        try:
            peak = _peak(upright) if wide else None
            if border:
                upright = upright.crop((border, border, upright.width - border, upright.height - border))
            image = np.asarray(_cut(_rgb(upright), size, centre, _FILTERS[interpolation]))
        except (ValueError, OSError, MemoryError) as error:  # as of a colour space that Pillow does not convert
            raise Unreadable(_reason(error)) from error
        try:
            coverage, binary = _coverage(mask, upright.size, size, centre)
            return Square(image, coverage, unmasked="", binary_mask=binary, peak=peak)
        except Unreadable as error:
            return Square(image, np.zeros((size, size), np.uint8), unmasked=str(error), peak=peak)


def formats() -> tuple[str, ...]:
    """The file formats that are decoded, by Pillow's names."""
    return tuple(_formats())


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _UNSUPPORTED]


def _coverage(
    content: bytes | None, image_size: tuple[int, int], size: int, centre: float
) -> tuple[UInt8[np.ndarray, "S S"], bool]:
    """The square of a mask and whether its values are 0 and 1, for an image of this width and height."""
    if not content:
        raise Unreadable("missing")
    width, height = image_size
    limit = max(MAX_PIXELS, width * height)
    mask = _opened(content, limit)
    if mask.width * mask.height == width * height:  # before it is turned upright
        mask = _upright(mask, content, limit)
    if mask.size != image_size:
        raise Unreadable(f"of {mask.width} x {mask.height} pixels, its image of {width} x {height}")
    try:
        grey = _eight_bits(mask).convert("L")
        brightest = int(grey.getextrema()[1])  # pyright: ignore[reportArgumentType] - of one channel
        if brightest == 1:
            grey = grey.point(lambda value: 255 * value)
        coverage = np.asarray(_cut(grey, size, centre, Image.Resampling.BILINEAR))
    except (ValueError, OSError, MemoryError) as error:
        raise Unreadable(_reason(error)) from error
    if not (coverage >= _FOREGROUND).any():
        raise Unreadable(f"empty: no pixel of {_FOREGROUND} or more, its largest value is {brightest}")
    return coverage, brightest == 1


def _opened(content: bytes, max_pixels: int) -> Image.Image:
    """An image whose header is read and whose pixels are not."""
    if max_pixels > MAX_PIXELS and Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        opened = _header(content)
    except Image.DecompressionBombError as error:
        raise Unreadable(
            f"more pixels than run.dataset.max_pixels = {max_pixels}: raise it to use the image"
        ) from error
    except UnidentifiedImageError as error:
        raise Unreadable("no image in a format that Pillow knows") from error
    # A decoder raises whatever it trips over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise Unreadable(_reason(error)) from error
    if not opened.width * opened.height:
        raise Unreadable("it has no pixels")
    if opened.width * opened.height > max_pixels:
        law = f"more than run.dataset.max_pixels = {max_pixels}: raise it to use the image"
        raise Unreadable(f"{opened.width} x {opened.height} pixels, {law}")
    return opened


def _header(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_formats())
    except Image.DecompressionBombError:
        raise
    except Exception:
        bare = without_metadata(content)
        if bare is None:
            raise
        return Image.open(io.BytesIO(bare), formats=_formats())


def _upright(opened: Image.Image, content: bytes, max_pixels: int) -> Image.Image:
    """The image with its pixels loaded, turned as its metadata say."""
    try:
        opened.load()
    except Exception as error:
        bare = without_metadata(content)
        if bare is None:
            raise Unreadable(_reason(error)) from error
        opened = _opened(bare, max_pixels)
        try:
            opened.load()
        except Exception:
            raise Unreadable(_reason(error)) from error
    method = _UPRIGHT.get(_orientation(opened))
    return opened if method is None else opened.transpose(method)


def _orientation(image: Image.Image) -> int:
    # Only the orientation is read: Pillow's exif_transpose also writes all other tags, and fails on odd ones.
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a parser of metadata raises whatever it trips over, and the pixels are fine
        return 1


def _reason(error: Exception) -> str:
    return first_line(error) or type(error).__name__


def _is_wide(opened: Image.Image) -> bool:
    """Whether an image that is not loaded yet has 16 bits per channel."""
    return opened.mode in _WIDE_GREY or ";16" in str(getattr(opened, "tile", ())[:1])


def _peak(image: Image.Image) -> int:
    if image.mode in _WIDE_GREY:
        return int(np.asarray(image).max())
    extrema = image.convert("RGB").getextrema()  # Pillow keeps the upper 8 bits of 16-bit colours
    return max(int(high) for _, high in extrema) * _WIDE_STEP  # pyright: ignore[reportGeneralTypeIssues]


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
        return Image.fromarray((np.asarray(image).clip(0, WIDE_PEAK) / _WIDE_STEP).round().astype(np.uint8))
    if image.mode == "F":
        raise Unreadable("its pixels are floating-point numbers of unknown range")
    return image


def _cut(image: Image.Image, size: int, centre: float, filter: Image.Resampling) -> Image.Image:
    """The central square, the shorter side resized to `size / centre`; rounded as torchvision rounds."""
    shorter, whole = min(image.size), round(size / centre)
    width, height = (whole * side // shorter for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if width * height > _LARGE:
        return _cut_elongated(image, size, (width, height), filter)
    resized = image.resize((width, height), filter)
    return resized.crop((left, top, left + size, top + size))


def _cut_elongated(image: Image.Image, size: int, whole: tuple[int, int], filter: Image.Resampling) -> Image.Image:
    """The same square but for rounding, where one of the sides is so long that resizing all of it takes gigabytes."""
    box, target, corner = [], [], []
    for side, resized in zip(image.size, whole, strict=True):
        start, margin = round((resized - size) / 2), math.ceil(_REACH * max(1, resized / side))
        first, last = max(0, start - margin), min(resized, start + size + margin)
        box.append((first * side / resized, last * side / resized))
        target.append(last - first)
        corner.append(start - first)
    (left, right), (top, bottom) = box
    part = image.resize((target[0], target[1]), filter, box=(left, top, right, bottom))
    return part.crop((corner[0], corner[1], corner[0] + size, corner[1] + size))
