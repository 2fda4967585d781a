"""Images whose metadata are odd decode to the pixels they would have without them; as public reports have them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import TiffImagePlugin

from orchestrator.data.decoding import Unreadable, square
from orchestrator.data.metadata import without_metadata
from tests.orchestrator.datasets.own_files import encoded, picture

# Pillow warns of most of these files, and a warning is an error in tests.
pytestmark = pytest.mark.filterwarnings("ignore")

# Orientation 6 (a quarter turn), and a date that is a float.
FLOAT_DATE = b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIHHHHIfI", 0x112, 3, 1, 6, 0, 306, 11, 1, 1.5, 0)


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png(added: bytes, *, before: bytes = b"IDAT") -> bytes:
    plain = encoded(picture(0))
    place = plain.index(before) - 4
    return plain[:place] + added + plain[place:]


def jpeg(marker: int, data: bytes) -> bytes:
    plain = encoded(picture(0), "JPEG")
    return plain[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + plain[2:]


PNGS = {
    "eXIf is no EXIF": png(chunk(b"eXIf", b"nonsense")),
    "eXIf after the pixels": png(chunk(b"eXIf", b"nonsense"), before=b"IEND"),
    "pHYs cut off": png(chunk(b"pHYs", b"\0")),
    "gAMA empty": png(chunk(b"gAMA", b"")),
    "iCCP without a name's end": png(chunk(b"iCCP", b"name")),
    "zTXt bomb": png(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(5_000_000)))),
    "iTXt bomb after the pixels": png(chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(5_000_000))), before=b"IEND"),
    "raw profile without digits": png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n8\nzz")),
    "acTL empty": png(chunk(b"acTL", b"")),
    "wrong checksum of a text": png(chunk(b"tEXt", b"k\0v", crc=7)),
}
JPEGS = {
    "EXIF is none": jpeg(0xE1, b"Exif\0\0" + b"\x99" * 50),
    "EXIF cut off": jpeg(0xE1, b"Exif\0\0" + FLOAT_DATE[:20]),
    "ICC profile cut off": jpeg(0xE2, b"ICC_PROFILE\0"),
    "malformed MPO": jpeg(0xE2, b"MPF\0II*\0\x08\0\0\0\5\0" + b"\xff" * 60),
    "Adobe cut off": jpeg(0xEE, b"Adobe"),
    "JFIF cut off": jpeg(0xE0, b"JFIF"),
    "resolution of 0": jpeg(0xE0, b"JFIF\0\1\1\1\0\0\0\0\0\0"),
    "XMP with an orientation of 0": jpeg(0xE1, b'http://ns.adobe.com/xap/1.0/\0tiff:Orientation="0"'),
}


@pytest.mark.parametrize("case", PNGS)
def test_png_with_odd_metadata_is_read(case):
    np.testing.assert_array_equal(square(PNGS[case], None, 8).image, square(encoded(picture(0)), None, 8).image)


@pytest.mark.parametrize("case", JPEGS)
def test_jpeg_with_odd_metadata_is_read(case):
    plain = encoded(picture(0), "JPEG")
    np.testing.assert_array_equal(square(JPEGS[case], None, 8).image, square(plain, None, 8).image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_obeyed_beside_a_date_that_is_a_float(kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    exif = FLOAT_DATE if kind == "PNG" else b"Exif\0\0" + FLOAT_DATE
    turned = square(encoded(picture(0), kind, exif=exif, **lossless), None, 16).image
    upright = square(encoded(picture(0), kind, **lossless), None, 16).image
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_orientation_survives_the_removal_of_other_metadata():
    exif, broken = chunk(b"eXIf", FLOAT_DATE), chunk(b"pHYs", b"\0")
    np.testing.assert_array_equal(
        square(png(exif + broken), None, 16).image, np.rot90(square(encoded(picture(0)), None, 16).image, -1)
    )


def test_tiff_with_a_resolution_of_nothing_over_nothing_is_read():
    directory, file = TiffImagePlugin.ImageFileDirectory_v2(), io.BytesIO()
    directory[282] = directory[283] = TiffImagePlugin.IFDRational(72, 1)
    picture(0).save(file, "TIFF", tiffinfo=directory)
    odd = file.getvalue().replace(struct.pack("<II", 72, 1), bytes(8))
    assert odd != file.getvalue()
    np.testing.assert_array_equal(square(odd, None, 8).image, square(encoded(picture(0)), None, 8).image)


def test_files_without_metadata_and_other_formats_are_left_as_they_are():
    for content in (encoded(picture(0)), encoded(picture(0), "JPEG"), encoded(picture(0), "GIF"), b"", b"\xff\xd8\xff"):
        assert without_metadata(content) is None
    assert without_metadata(PNGS["gAMA empty"]) == encoded(picture(0))


def test_damaged_pixels_stay_an_error():
    with pytest.raises(Unreadable):
        square(png(chunk(b"gAMA", b""))[:120], None, 8)
    with pytest.raises(Unreadable):
        square(JPEGS["Adobe cut off"][:200], None, 8)
