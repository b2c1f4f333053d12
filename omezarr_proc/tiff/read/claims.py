"""What an encoded image says of its own size, read before it is decoded.

A segment of a few bytes can claim gigapixels, and codecs allocate what is claimed.

Sources: JPEG, ITU-T T.81 B.2; JPEG 2000, ITU-T T.800 A.5.1; PNG, section 11.2.2; WebP, RFC 9649; LERC, Esri's lerc/doc and Lerc2.h;
JPEG XR, ITU-T T.832 8.3; JPEG XL, ISO/IEC 18181-1 annex D.2 (SizeHeader) and 18181-2 (boxes).
"""

import math
import re
import struct

SLACK = 4  # segments often hold more than their part of the image: whole tiles, full strips
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # width to height, of JPEG XL
_JPEG = {"jpeg", "ojpeg", "jpeg_lossy", "dcsjpeg"}


def excessive(data: bytes | memoryview, compression: str, width: int, height: int, samples: int = 1) -> str | None:
    """Why the encoded segment should not be decoded, when it claims far more values than its width, height and samples; else None."""
    claimed, limit = claim(data, compression), SLACK * max(width * height, 1 << 16)
    if claimed is None or claimed[0] * claimed[1] * -(-(depth := claimed_samples(data, compression)) // samples) <= limit:
        return None
    return f"it claims {claimed[0]} x {claimed[1]} pixels{f' of {depth} samples' if depth > samples else ''} for {width} x {height}"


def claimed_samples(data: bytes | memoryview, compression: str) -> int:
    """Samples of a pixel as the encoded image states them, where its codec allows any number; else 1."""
    if compression == "lerc" and data[:6] == b"Lerc2 " and len(data) >= 26 and int.from_bytes(data[6:10], "little") >= 4:
        return max(int.from_bytes(data[22:26], "little", signed=True), 1)
    if compression == "jpeg2000":
        return max(int.from_bytes(_codestream(bytes(data[: 1 << 16]))[40:42], "big"), 1)
    return 1


def claim(data: bytes | memoryview, compression: str) -> tuple[int, int] | None:
    """Width and height as the encoded image states them; None where the codec is another or nothing is found."""
    data = bytes(data[: 1 << 16]) if isinstance(data, memoryview) else data
    if compression in _JPEG:  # a piece that stands behind a header of its page has no markers
        return _jpeg(data) if data[:2] == b"\xff\xd8" or compression == "ojpeg" else None
    if compression == "jpeg2000":
        return _jpeg2000(_codestream(data))
    if compression == "png" and len(data) >= 24:
        width, height = struct.unpack_from(">2I", data, 16)
        return width, height
    if compression == "webp":
        return _webp(data)
    if compression in ("jpegxr", "jpegxr_ndpi"):
        return max(map(_jpegxr, re.finditer(b"WMPHOTO\0.{12}", data, re.DOTALL)), key=math.prod, default=None)
    if compression in ("jpegxl", "jpegxl_dng"):
        return _jpegxl(_codestream(data))
    if compression == "lerc" and data[:6] == b"Lerc2 " and len(data) >= 22:
        version = int.from_bytes(data[6:10], "little", signed=True)
        height, width = struct.unpack_from("<2i", data, 14 if version >= 3 else 10)
        return max(width, 0), max(height, 0)
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """From the first chunk that states it; libwebp also takes a chunk, or what is in one, without the container."""
    at = 12 if data[:4] == b"RIFF" else 0
    if data[at : at + 4] == b"VP8X":
        return int.from_bytes(data[at + 12 : at + 15], "little") + 1, int.from_bytes(data[at + 15 : at + 18], "little") + 1
    if data[at : at + 4] == b"ALPH":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    if data[at : at + 4] in (b"VP8 ", b"VP8L"):
        at += 8
    if data[at : at + 1] == b"\x2f":
        bits = int.from_bytes(data[at + 1 : at + 5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[at + 3 : at + 6] == b"\x9d\x01\x2a":
        return int.from_bytes(data[at + 6 : at + 8], "little") & 0x3FFF, int.from_bytes(data[at + 8 : at + 10], "little") & 0x3FFF
    return None


def _jpegxr(header: re.Match[bytes]) -> tuple[int, int]:
    """From the header of a codestream: bit 7 of byte 10 says whether the sides have 16 or 32 bits."""
    width, height = struct.unpack_from(">2H" if header[0][10] & 0x80 else ">2I", header[0], 12)
    return width + 1, height + 1


def _codestream(data: bytes) -> bytes:
    """The begin of a JPEG 2000 or JPEG XL codestream: the data, or in a container the first box that has some of it."""
    at = 0 if data[4:8] in (b"jP  ", b"JXL ") else len(data)
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 16 if size == 1 else 8
        if kind in (b"jp2c", b"jxlc", b"jxlp"):
            return data[at + head + 4 * (kind == b"jxlp") :]
        at += max(int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data), head)
    return data


def _jpeg2000(codestream: bytes) -> tuple[int, int] | None:
    if codestream[:4] != b"\xff\x4f\xff\x51" or len(codestream) < 24:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", codestream, 8)
    return max(x1 - x0, 0), max(y1 - y0, 0)


def _jpegxl(codestream: bytes) -> tuple[int, int] | None:
    if codestream[:2] != b"\xff\x0a":
        return None
    bits = int.from_bytes(codestream[2:14], "little")

    def read(number: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << number) - 1), bits >> number
        return value

    small = read(1)

    def side() -> int:
        return 8 * (read(5) + 1) if small else read((9, 13, 18, 30)[read(2)]) + 1

    height = side()
    ratio = read(3)
    return side() if not ratio else height * _RATIOS[ratio][0] // _RATIOS[ratio][1], height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2 if data[:2] == b"\xff\xd8" else 0
    end = len(data) - 9
    while at < end:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if marker == 0xDA:
            return None
        at += 2 if marker in (0x01, 0xFF, *range(0xD0, 0xD9)) else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
