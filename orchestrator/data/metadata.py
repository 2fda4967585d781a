"""Image files without the metadata that a decoder may stumble over: what is left decodes to the same pixels."""

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")  # an odd eXIf chunk does not stop the decoder

_JPEG = b"\xff\xd8"
_START_OF_SCAN = 0xDA
_COMMENT = 0xFE
_APPLICATION = range(0xE0, 0xF0)
# Application segments that say how to read the pixels, and the bytes that each must have to say it.
_JPEG_SEGMENTS = ((b"JFIF\0", 14), (b"Adobe", 12), (b"Exif\0\0", 14))


def without_metadata(content: bytes) -> bytes | None:
    """A PNG or JPEG file reduced to what its pixels and its orientation need.

    Args:
        content: of the file.

    Returns:
        The smaller file, or None if there is nothing to remove, or the file is of another format or damaged.
    """
    if content.startswith(_PNG):
        bare = _bare_png(content)
    elif content.startswith(_JPEG):
        bare = _bare_jpeg(content)
    else:
        return None
    return None if bare == content else bare


def _bare_png(content: bytes) -> bytes | None:
    """Source: PNG specification (third edition), 5.3: length, type, data and CRC of each chunk."""
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(content):
        (length,), kind = struct.unpack_from(">I", content, place), content[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(content):
            return None
        if kind in _PNG_CHUNKS and (kind != b"eXIf" or _checked(content, place, end)):
            kept.append(content[place:end])
        place = end
    return b"".join(kept)


def _checked(content: bytes, start: int, end: int) -> bool:
    return zlib.crc32(content[start + 4 : end - 4]) == struct.unpack_from(">I", content, end - 4)[0]


def _bare_jpeg(content: bytes) -> bytes | None:
    """Source: ITU-T T.81, B.1.1.4: marker, length and data of each segment before the first scan."""
    kept, place = [_JPEG], len(_JPEG)
    while place + 4 <= len(content):
        mark, kind, length = struct.unpack_from(">BBH", content, place)
        if mark != 0xFF:
            return None
        if kind == 0xFF:  # a fill byte
            place += 1
            continue
        if kind == _START_OF_SCAN:
            return b"".join([*kept, content[place:]])
        end = place + 2 + length
        if _matters(kind, content[place + 4 : end]):
            kept.append(content[place:end])
        place = end
    return None


def _matters(kind: int, data: bytes) -> bool:
    if kind == _COMMENT:
        return False
    if kind not in _APPLICATION:
        return True
    return any(data.startswith(name) and len(data) >= least for name, least in _JPEG_SEGMENTS)
