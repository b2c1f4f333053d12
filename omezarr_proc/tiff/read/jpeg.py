"""JPEG segments, decoded so that what libjpeg warns of is an error.

libjpeg goes on where data are missing or wrong, and only warns; imagecodecs hides that. TurboJPEG, through simplejpeg, says it, and makes
the same pixels from the same library in the same time (docs/damage.md). It takes a whole stream with its tables in it, of 8-bit samples in
one or three components; others are left to imagecodecs.

Sources: ITU-T T.81 annex B (markers); TIFF Technical Note 2 (tables); jdapimin.c of libjpeg-turbo (which colours a stream has).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import simplejpeg
from numpy.typing import NDArray

from omezarr_proc.tiff.read.damage import DamagedError

Bytes = bytes | bytearray | memoryview
Colours = tuple[int | str | None, int | str | None]  # of the stream and of the pixels, as tifffile tells imagecodecs

_BEGIN = b"\xff\xd8"
_FRAMES = {0xC0, 0xC1, 0xC2}  # sequential and progressive with Huffman codes
_TABLES = {0xC4, 0xDB}
_SCAN, _LAST = 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD8)}  # without a length
_COLOURS = {0xE0, 0xEE}  # JFIF and Adobe markers
_IS_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # Adobe's marker, transform 0
_COPIED = 16 << 20  # bytes of a mapped stream that are copied to put its tables into it, at most
_UNKNOWN = "subsampling"  # in what TurboJPEG says of sampling factors that it does not know
_RATIOS = {0x11, 0x12, 0x14, 0x21, 0x22, 0x24, 0x41, 0x42, 0x44}  # of luma; chroma is 1 x 1 then


@dataclass(frozen=True)
class Frame:
    """What a stream says of itself.

    head      markers before the first scan: code, first byte, byte after the last
    sampling  horizontal (high four bits) and vertical factors of each component
    """

    height: int
    width: int
    sampling: tuple[int, ...]
    head: tuple[tuple[int, int, int], ...]


def decode(data: Bytes, tables: bytes | None, colours: Colours, samples: int, out: NDArray[Any] | None = None) -> NDArray[Any] | None:
    """The pixels [h, w, samples] of a stream, into `out` where it is given (same size); None for one that is left to imagecodecs.

    Raises DamagedError with what libjpeg says, and for another number of components: libjpeg would make colours of grey.
    """
    frame = _frame(data)
    if frame is not None and len(frame.sampling) != samples:
        raise DamagedError(f"{len(frame.sampling)} components for {samples} samples")
    if frame is None or (samples, colours) not in _READ:
        return None
    if out is not None and out.shape != (frame.height, frame.width, samples):
        return None
    stream = _whole(data, frame, tables, colours == (2, 2))
    if stream is None:
        return None
    try:
        pixels: NDArray[Any] = simplejpeg.decode_jpeg(stream, "RGB" if samples == 3 else "GRAY", buffer=out)
    except ValueError as error:
        if _UNKNOWN not in str(error):
            raise DamagedError(str(error)) from error
        if frame.sampling[0] not in _RATIOS or set(frame.sampling[1:]) - {0x11}:
            factors = ", ".join(f"{factor >> 4} x {factor & 15}" for factor in frame.sampling)
            raise DamagedError(f"sampling factors {factors}") from error
        return None
    return pixels


_READ: set[tuple[int, Colours]] = {(1, (None, None)), (1, (None, 1)), (3, (None, 2)), (3, (2, 2))}  # samples, colours


def _frame(data: Bytes) -> Frame | None:
    found: tuple[int, int, tuple[int, ...]] | None = None
    head: list[tuple[int, int, int]] = []
    for code, begin, end in _markers(data):
        if code == _SCAN:
            return Frame(*found, tuple(head)) if found else None
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            if code not in _FRAMES or end < begin + 13 or data[begin + 4] != 8 or end != begin + 10 + 3 * data[begin + 9]:
                return None
            height, width = (int.from_bytes(data[at : at + 2], "big") for at in (begin + 5, begin + 7))
            found = height, width, tuple(data[begin + 11 : end : 3])
        head.append((code, begin, end))
    return None


def _markers(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """The markers after the begin, up to the first scan or the end: code, first byte, byte after the last. Nothing for what is no stream.

    Raises DamagedError for bytes between them, and where the data end in one of them.
    """
    at, size = 2, len(data)
    if data[:2] != _BEGIN:
        return
    while at + 4 <= size:
        code = data[at + 1]
        if data[at] != 0xFF or code == 0:
            raise DamagedError(f"no marker at byte {at}")
        if code == 0xFF or code in _ALONE:
            at += 1 if code == 0xFF else 2
            continue
        if code == _LAST:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > size:
            raise DamagedError(f"it ends in the marker at byte {at}")
        yield code, at, end
        if code == _SCAN:
            return
        at = end


def _whole(data: Bytes, frame: Frame, tables: bytes | None, is_rgb: bool) -> Bytes | None:
    """The stream with its tables, said to be RGB where the TIFF says so; None where that takes too much memory."""
    # libjpeg forgets all but these at the begin of the next stream.
    before = [tables[begin:end] for code, begin, end in _markers(tables) if code in _TABLES] if tables else []
    if not before and not is_rgb:
        return data
    if isinstance(data, memoryview) and len(data) > _COPIED:
        return None
    if not is_rgb:
        return b"".join([_BEGIN, *before, data[2:]])
    own = [data[begin:end] for code, begin, end in frame.head if code not in _COLOURS]
    return b"".join([_BEGIN, _IS_RGB, *before, *own, data[frame.head[-1][2] :]])
