"""ICC profiles of tests: Adobe RGB's colours, and inks whose colours a table of two steps an ink says."""

import struct
from functools import cache
from itertools import product

import imagecodecs


@cache
def wide_rgb() -> bytes:
    """RGB of Adobe RGB (1998)'s primaries and gamma. The time when it is made stands in it."""
    return bytes(imagecodecs.cms_profile("adobergb"))


def inks() -> bytes:
    """CMYK to Lab by `lut8Type` (ICC.1:2022, 10.11) with a table of 2 x 2 x 2 x 2 corners; version 2."""
    ramp = bytes(range(256))
    corners = b"".join(_lab(*corner) for corner in product((0, 1), repeat=4))
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * ramp + corners + 3 * ramp
    text = b"inks\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": table,
    }
    body, entries = b"", []
    for name, data in tags.items():
        entries.append(name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    directory = struct.pack(">I", len(tags)) + b"".join(entries)
    size = 128 + len(directory) + len(body)
    head = struct.pack(">I", size) + bytes(4) + bytes((2, 0x40, 0, 0)) + b"prtrCMYKLab " + bytes(12) + b"acsp"
    illuminant = struct.pack(">3i", 63190, 65536, 54061)
    return (head + bytes(28) + illuminant).ljust(128, b"\0") + directory + body


def _lab(c: int, m: int, y: int, k: int) -> bytes:
    lightness = 255 * (1 - 0.9 * k) * (1 - 0.35 * c - 0.4 * m - 0.1 * y)
    return bytes((round(lightness), round(128 - 40 * c + 70 * m), round(128 - 45 * c + 85 * y)))
