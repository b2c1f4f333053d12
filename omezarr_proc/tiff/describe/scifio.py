"""The axes that SCIFIO (ImageJ2, Fiji) writes into the description of a TIFF of its own kind. Pure.

Source: SCIFIO's io.scif.formats.TIFFFormat: lines `key=value` after `SCIFIO=version`; axes, lengths, scales and units are lists, the axis
that changes fastest first.
"""

import math

from omezarr_proc.model.image import AxisSize
from omezarr_proc.tiff.describe.imagej import MAX_HEAD, unit_of
from omezarr_proc.tiff.describe.omevalues import LENGTHS, TIMES, axis_size
from omezarr_proc.tiff.describe.shaped import Axes

_LETTERS = {"X": "X", "Y": "Y", "Z": "Z", "Channel": "C", "Time": "T"}


def is_scifio(text: str) -> bool:
    """Whether an image description is SCIFIO's."""
    return text.startswith("SCIFIO=")


def parse(text: str, samples: int) -> Axes | None:
    """The axes of a description with their steps, for pages of `samples`; None where it contradicts itself."""
    values = dict(line.partition("=")[::2] for line in text[:MAX_HEAD].splitlines())
    names, lengths, scales, units = (values.get(key, "").split(",") for key in ("axes", "lengths", "scales", "units"))
    if not set(names) <= set(_LETTERS) or len(set(names)) < len(names) or not {"X", "Y"} <= set(names):
        return None
    if len(lengths) != len(names) or not all(one.isascii() and one.isdigit() and 0 < int(one) < 1 << 31 for one in lengths):
        return None
    letters, shape = "".join(_LETTERS[name] for name in names), [int(one) for one in lengths]
    if samples > 1 and letters.startswith("XYC") and shape[2] == samples:  # inside of pixels, though said to be outside
        letters, shape = "CXY" + letters[3:], [samples, *shape[:2], *shape[3:]]
    axes = Axes(letters[::-1], tuple(shape[::-1]))
    if len(scales) == len(units) == len(names):
        steps = {_LETTERS[name].lower(): _step(name, scale, unit) for name, scale, unit in zip(names, scales, units, strict=True)}
        axes.steps = {axis: step for axis, step in steps.items() if step}
    return axes


def _step(name: str, scale: str, unit: str) -> AxisSize | None:
    try:
        value = abs(float(scale))
    except ValueError:
        return None
    known = {"Time": TIMES, "Channel": {}}.get(name, LENGTHS)
    return axis_size(value, unit_of(unit), known) if math.isfinite(value) else None
