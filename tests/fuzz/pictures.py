"""Bytes of image files, sound ones and damaged ones."""

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image

KINDS = {
    "png": "PNG", "PNG": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "jfif": "JPEG", "JPE": "JPEG", "webp": "WEBP",
    "bmp": "BMP", "gif": "GIF", "tif": "TIFF", "TIFF": "TIFF", "jp2": "JPEG2000", "avif": "AVIF", "ppm": "PPM",
    "tga": "TGA", "ico": "ICO", "qoi": "QOI",
}  # fmt: skip
MODES = {"PNG": ("RGB", "L", "RGBA", "LA", "P", "1", "I;16"), "TIFF": ("RGB", "L", "I;16", "CMYK", "1", "RGBA")}
SIZES = ((3, 2), (1, 1), (20, 16), (1, 300), (900, 2))


def sound(kind: str, mode: str, size: tuple[int, int], number: int) -> bytes:
    """An image that a viewer shows."""
    values = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(values)
    wide = values[..., 0].astype(np.uint16) * 16
    image = Image.fromarray(wide) if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@st.composite
def sound_images(draw: st.DrawFn) -> tuple[str, bytes]:
    """An ending, and a sound image of that kind."""
    ending = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[ending]
    mode = draw(st.sampled_from(MODES.get(kind, ("RGB",))))
    return ending, sound(
        kind, mode, draw(st.sampled_from(SIZES if kind != "ICO" else SIZES[2:3])), draw(st.integers(0, 9))
    )


@st.composite
def damaged_images(draw: st.DrawFn) -> tuple[str, bytes]:
    """An ending, and an image of that kind with some bytes changed, removed or added."""
    ending, content = draw(sound_images())
    place, count = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
    change = draw(st.one_of(st.binary(max_size=60), st.just(b"\xff\xe1\0\x08Exif\0\0"), st.just(content)))
    return ending, content[:place] + change + content[place + count :]
