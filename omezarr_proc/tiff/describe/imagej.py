"""ImageJ's image description as axes and sizes, and its lookup tables as colours. Pure.

Planes follow channel, then slice, then frame. Source: ImageJ's ij/io/TiffDecoder, TiffEncoder and FileInfo; `key=value` lines after
`ImageJ=version`; private tags 50838 (byte counts) and 50839 (what they count: a list of kinds, then the values).
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from omezarr_proc.model.image import AxisSize
from omezarr_proc.tiff.describe.omevalues import LENGTHS, TIMES, axis_size

BYTE_COUNTS, METADATA = 50838, 50839
MAX_HEAD = 1 << 20  # characters in which the sizes stand
_UNITS = {"micron": "um", "microns": "um", "micrometer": "um", r"\u00B5m": "um", "inch": "in.", "inches": "in.", "nanometer": "nm",
          "millimeter": "mm", "meter": "m", "angstrom": "\u00c5", "sec": "s", "seconds": "s", "msec": "ms"}  # fmt: skip


@dataclass(kw_only=True)
class Stack:
    """Sizes in planes of c, z, t; `images` as stated; spacing of slices, frame interval; the unit of lengths as OME spells it."""

    images: int = 1
    c: int = 1
    z: int = 1
    t: int = 1
    unit: str = ""
    sizes: dict[str, AxisSize] = field(default_factory=dict)


def is_imagej(text: str) -> bool:
    """Whether an image description is ImageJ's."""
    return text.startswith("ImageJ=") or "\nImageJ=" in text[:1000]


def parse(text: str, pages: int, samples: int) -> Stack:
    """The stack that a description states, for a file of `pages` pages of `samples`.

    Sizes that do not come out are replaced by z = number of planes.
    """
    values = dict(line.partition("=")[::2] for line in text[:MAX_HEAD].splitlines() if "=" in line)
    stack = Stack(images=_count(values, "images"), c=_count(values, "channels"), z=_count(values, "slices"), t=_count(values, "frames"))
    number = max(stack.images, pages)
    if samples > 1 and stack.c % samples == 0 and stack.c * stack.z * stack.t == pages * samples:  # Bio-Formats counts samples as channels
        stack.c, number = stack.c // samples, pages
    if stack.c * stack.z * stack.t != number:
        stack.c, stack.z, stack.t = 1, number, 1
    stack.unit = unit_of(values.get("unit", ""))
    spacing = axis_size(abs(_number(values.get("spacing")) or 0.0), stack.unit, LENGTHS)
    if spacing and stack.z > 1:
        stack.sizes["z"] = spacing
    interval = _number(values.get("finterval"))
    step = axis_size(interval, unit_of(values.get("tunit", "s")), TIMES)
    if step and stack.t > 1:
        stack.sizes["t"] = step
    return stack


def unit_of(text: str) -> str:
    """A unit as OME spells it."""
    return _UNITS.get(text.strip(), text.strip())


def colors(counts: Sequence[int], data: bytes, order: str) -> list[str | None]:
    """The colours of the lookup tables in ImageJ's metadata, six hex digits each; None for a table that is no even ramp from black.

    `counts` and `data` are the values of the two tags, `order` the file's byte order; what makes no sense gives no colours.
    """
    magic, luts = (b"IJIJ", b"luts") if order == ">" else (b"JIJI", b"stul")
    if not counts or data[:4] != magic or not 12 <= counts[0] <= len(data):
        return []
    found: list[str | None] = []
    at, index = counts[0], 1
    for kind, number in struct.iter_unpack(order + "4sI", data[4 : 4 + (counts[0] - 4) // 8 * 8]):
        sizes = counts[index : index + number]
        for size in sizes if kind == luts else []:
            found.append(_ramp(data[at : at + size]))
            at += size
        at, index = at if kind == luts else at + sum(sizes), index + len(sizes)
    return found


def _ramp(table: bytes) -> str | None:
    """The colour at the end of a lookup table of 256 red, green and blue values, where all others are its even fractions."""
    if len(table) != 768:
        return None
    values = np.frombuffer(table, np.uint8).reshape(3, 256).astype(np.float64)
    even = np.outer(values[:, 255], np.arange(256) / 255)
    return f"{table[255]:02X}{table[511]:02X}{table[767]:02X}" if values.any() and (np.abs(values - even) <= 1).all() else None


def _count(values: dict[str, str], key: str) -> int:
    text = values.get(key, "1").strip()
    return int(text) if text.isdigit() and 0 < int(text) < 1 << 31 else 1


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
