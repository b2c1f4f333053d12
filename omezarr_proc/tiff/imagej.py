"""ImageJ's image description as axes and sizes. Pure.

Planes follow channel, then slice, then frame. Source: ImageJ's ij/io/TiffDecoder and FileInfo; `key=value` lines after
`ImageJ=version`.
"""

import math
from dataclasses import dataclass, field

from omezarr_proc.image import AxisSize
from omezarr_proc.tiff.omexml import LENGTHS, TIMES, axis_size

_UNITS = {"micron": "um", "microns": "um", "micrometer": "um", r"\u00B5m": "um", "inch": "in.", "inches": "in.", "nanometer": "nm",
          "millimeter": "mm", "meter": "m", "angstrom": "\u00c5", "sec": "s", "seconds": "s", "msec": "ms"}  # fmt: skip


@dataclass
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
    values = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    stack = Stack(images=_count(values, "images"), c=_count(values, "channels"), z=_count(values, "slices"), t=_count(values, "frames"))
    number = max(stack.images, pages)
    if samples > 1 and stack.c % samples == 0 and stack.c * stack.z * stack.t == pages * samples:  # Bio-Formats counts samples as channels
        stack.c, number = stack.c // samples, pages
    if stack.c * stack.z * stack.t != number:
        stack.c, stack.z, stack.t = 1, number, 1
    unit = values.get("unit", "").strip()
    stack.unit = _UNITS.get(unit, unit)
    spacing = axis_size(abs(_number(values.get("spacing")) or 0.0), stack.unit, LENGTHS)
    if spacing and stack.z > 1:
        stack.sizes["z"] = spacing
    interval = _number(values.get("finterval"))
    step = axis_size(interval, _UNITS.get(values.get("tunit", "s"), values.get("tunit", "s")), TIMES)
    if step and stack.t > 1:
        stack.sizes["t"] = step
    return stack


def _count(values: dict[str, str], key: str) -> int:
    text = values.get(key, "1").strip()
    return int(text) if text.isdigit() and 0 < int(text) < 1 << 31 else 1


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
