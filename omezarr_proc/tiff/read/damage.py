"""What an encoded segment shows of its damage before it is decoded, where its decoder would say nothing.

Most decoders say themselves that data are missing, and some that they are wrong (docs/damage.md). For JPEG `jpeg` hears what libjpeg
says; here is what libjpeg does not say, and JPEG XR, whose decoder fills up what is missing.

Sources: JPEG, ITU-T T.81 B.1.1.3; JPEG XR, ITU-T T.832 annex A (IMAGE_OFFSET 0xBCC0, IMAGE_BYTE_COUNT 0xBCC1).
"""

import struct

_END = b"\xff\xd9"
_TAIL = 1 << 16  # bytes in which padding is looked for


class DamagedError(Exception):
    """A segment is damaged, though its decoder makes pixels of it; the text says how."""


def look(data: bytes | memoryview, compression: str) -> None:
    """Raise DamagedError for an encoded segment that is visibly damaged."""
    reason = None
    if compression in ("jpeg", "jpeg_lossy") and data[:2] == b"\xff\xd8":
        reason = _jpeg(bytes(data[-_TAIL:]))
    elif compression in ("jpegxr", "jpegxr_ndpi") and data[:3] == b"II\xbc":
        reason = _jpegxr(data)
    if reason:
        raise DamagedError(reason)


def _jpeg(tail: bytes) -> str | None:
    """Padding may follow the end: zeros, fill bytes, and one byte of any value to make the length even."""
    if tail.rstrip(b"\0\xff").endswith(_END) or tail[:-1].endswith(_END):
        return None
    return "data after its end" if _END in tail else "it has no end"


def _jpegxr(data: bytes | memoryview) -> str | None:
    numbers = dict.fromkeys((0xBCC0, 0xBCC1), 0)
    try:
        (at,) = struct.unpack_from("<I", data, 4)
        (entries,) = struct.unpack_from("<H", data, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            code, _, _, value = struct.unpack_from("<HHII", data, entry)
            if code in numbers:
                numbers[code] = value
    except struct.error:
        return "its directory is cut off"
    end = sum(numbers.values())
    return f"it ends at byte {len(data)} of {end}" if end > len(data) else None
