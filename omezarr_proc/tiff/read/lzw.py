"""Decodes LZW segments, or checks one before imagecodecs decodes it.

A code that is not in the table yet makes imagecodecs' decoder read memory that is not its own, and a corrupt segment must be an error, not
a dead worker. `_kernels` decodes and holds every code against the table at once, 1.7 times as fast as a check and imagecodecs. Where it is
missing, and for huge strips that go to the spool file, a segment is checked first: the width of each code follows from how many codes came
since the table was cleared, so numpy takes all codes up to the next clearing out of the bits at once. Source: TIFF 6.0, section 13.
"""

import numpy as np
from numpy.typing import NDArray

try:
    from omezarr_proc.pixels._kernels import lzw_decode as _decode
    from omezarr_proc.pixels._kernels import lzw_wrong_code as _compiled
except ImportError:  # installed without a compiler
    _decode = None  # type: ignore[assignment]

    def _compiled(data: bytes | bytearray | memoryview, /) -> tuple[int, int] | None:
        return numpy_wrong_code(data)


CLEAR = 256  # and the end is 257
_CODES = 3840  # the table is full after 3838
_WIDTHS = np.repeat(np.array([9, 10, 11, 12]), [254, 512, 1024, _CODES - 1790])
_STARTS = np.concatenate([[0], np.cumsum(_WIDTHS)])
_LIMITS = np.minimum(np.concatenate([[255], np.arange(CLEAR + 2, CLEAR + 1 + _CODES)]), 4095).astype(np.uint32)
_MASKS = ((1 << _WIDTHS) - 1).astype(np.uint32)
# for each of the eight bits of a byte at which a table can begin: the byte of each code, and how far right it must be shifted
_OCTETS = [(phase + _STARTS[:-1]) >> 3 for phase in range(8)]
_SHIFTS = [(32 - _WIDTHS - ((phase + _STARTS[:-1]) & 7)).astype(np.uint32) for phase in range(8)]
_SPAN = (int(_STARTS[-1]) >> 3) + 8  # bytes that a table's codes take at most


def decode(data: bytes, room: int) -> bytearray | None:
    """The bytes that a segment holds, at most `room`. Raises ValueError with the reason for what is no LZW stream.

    None for what is left to `invalid` and imagecodecs: old streams of reversed bits, and all where there is no compiled decoder.
    """
    if _decode is None or _is_reversed(data):
        return None
    out = bytearray(room)
    made, wrong = _decode(data, out)
    if wrong:
        raise ValueError(_reason(*wrong))
    del out[made:]
    return out


def invalid(data: bytes | bytearray | memoryview) -> str | None:
    """Why a segment is no LZW stream; None when every code is one that the table holds. Old streams of reversed bits are not looked at."""
    wrong = None if _is_reversed(data) else _compiled(data)
    return _reason(*wrong) if wrong else None


def _is_reversed(data: bytes | bytearray | memoryview) -> bool:
    return len(data) >= 2 and data[0] == 0 and bool(data[1] & 1)


def _reason(code: int, bit: int) -> str:
    return "the LZW table is full and never cleared" if code < 0 else f"LZW code {code} at bit {bit} is not in the table"


def numpy_wrong_code(data: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """The first code that is not in the table (-1: the table is full for too long), and its bit; None where every code is valid."""
    position, size = 0, 8 * len(data)
    while position + 9 <= size:
        codes, whole = _codes(data, position)
        stops = (codes >> 1) == CLEAR >> 1
        stop = int(stops.argmax())
        count = stop if stops[stop] else len(codes)
        count = min(count, whole)
        wrong = codes[:count] > _LIMITS[:count]
        if wrong.any():
            at = int(wrong.argmax())
            return int(codes[at]), position + int(_STARTS[at])
        if count == whole < len(codes) or (stops[stop] and codes[stop] != CLEAR):
            return None
        position += int(_STARTS[count + 1]) if stops[stop] else int(_STARTS[count])
        most = position + 12 * _CODES
        while not stops[stop] and position + 12 <= size:  # a full table is kept for a while: each code is valid until it is cleared
            if position >= most:
                return -1, position
            octet = position >> 3
            code = int.from_bytes(bytes(data[octet : octet + 4]).ljust(4, b"\0"), "big") >> (20 - (position & 7)) & 4095
            position += 12
            if code >> 1 == CLEAR >> 1:
                if code != CLEAR:
                    return None
                break
        else:
            if not stops[stop]:
                return None
    return None


def _codes(data: bytes | bytearray | memoryview, position: int) -> tuple[NDArray[np.uint32], int]:
    """The codes from a bit on as those of a cleared table, and how many of them lie wholly inside the data."""
    octet, phase = position >> 3, position & 7
    whole = int(np.searchsorted(_STARTS, 8 * len(data) - position, side="right")) - 1
    if octet + _SPAN > len(data):
        data, octet = bytes(data[octet:]).ljust(_SPAN, b"\0"), 0
    windows: NDArray[np.uint32] = np.ndarray((_SPAN - 4,), ">u4", data, octet, (1,))
    return (windows[_OCTETS[phase]].astype(np.uint32) >> _SHIFTS[phase]) & _MASKS, min(whole, _CODES)
