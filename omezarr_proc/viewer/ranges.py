"""What a Range header asks for (RFC 9110)."""

import re


def byte_range(header: str | None, size: int) -> tuple[int, int, bool] | None:
    """Return (first byte, length, whether it is a part) of what a Range header asks for; None when no byte of it is there.

    As RFC 9110 allows, a header that is malformed, or asks for several ranges, is ignored: the answer is the whole file.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip(), re.ASCII)
    if not match or not any(match.groups()):
        return 0, size, False
    first, last = (_position(text) if text else None for text in match.groups())
    if first is None:
        length = min(last or 0, size)
        return (size - length, length, True) if length else None
    if last is not None and last < first:
        return 0, size, False
    if first >= size:
        return None
    return first, min(size - 1 if last is None else last, size - 1) - first + 1, True


def _position(digits: str) -> int:
    # Python refuses to convert thousands of digits; no file has a byte there
    return int(digits) if len(digits.lstrip("0")) < 19 and len(digits) < 4000 else 10**18
