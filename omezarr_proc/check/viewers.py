"""Whether the omero block is right: what viewers show, in which colours and windows. Pure checks of values."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omezarr_proc.check.finding import Finding, is_number
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Json

_COLOR = re.compile(r"[0-9A-Fa-f]{6}")
_FAMILIES = ("linear", "polynomial", "exponential", "logarithmic")
# As many times as wide as the pixels' range a window may be: at 8, 255 grey levels become 32. That of uint16 is 16 times that of 12 bits.
_WIDEST = 8
DARK = "what is shown, from start to end, is about as wide as the range of the pixels: else the picture is black or white"


def check_omero(d: Dataset, omero: Any, axes: Sequence[Any], where: str) -> Iterator[Finding]:
    """What is wrong with the block `omero`, which stands at `where`; `axes`: the names that go with it."""
    if omero is None:
        yield Finding("viewers", where, "is missing", "without windows and colours viewers show a black picture", "add an omero block")
        return
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        yield Finding("spec", f"{where}.channels", "is no list of objects", "omero has channels, a list of objects")
        return
    size_c = d.arrays[0].shape[axes.index("c")] if d.arrays and "c" in axes and len(d.arrays[0].shape) == len(axes) else None
    if size_c is not None and len(channels) != size_c:
        yield Finding("viewers", f"{where}.channels", f"{len(channels)} for {size_c} channels", "every channel is described, or none")
    if channels and not any(channel.get("active") for channel in channels):
        yield Finding("viewers", f"{where}.channels", "none is active", "viewers show active channels, so a black picture", "activate one")
    for index, channel in enumerate(channels):
        yield from _channel(channel, f"{where}.channels[{index}]")
    rdefs = omero.get("rdefs")
    if not isinstance(rdefs, dict):
        yield Finding("viewers", f"{where}.rdefs", "is missing", "rdefs says which plane is shown first")
        return
    for key, name in (("defaultT", "t"), ("defaultZ", "z")):
        size = d.arrays[0].shape[axes.index(name)] if size_c is not None and name in axes else 1
        if not isinstance(rdefs.get(key), int) or not 0 <= rdefs[key] < size:
            yield Finding("viewers", f"{where}.rdefs.{key}", f"{rdefs.get(key)!r} of {size}", "the plane shown first is one of the image")
    if rdefs.get("model") == "color" and size_c is not None and (size_c < 3 or d.arrays[0].tiles[axes.index("c")] < size_c):
        rule = "viewers draw one RGB layer, which needs all channels in one chunk"
        yield Finding("viewers", f"{where}.rdefs.model", "is color", rule, "leave model out, or bundle the channels")


def _channel(channel: Json, where: str) -> Iterator[Finding]:
    color = channel.get("color")
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        yield Finding("spec", f"{where}.color", f"{color!r}", "a colour is six hexadecimal digits, without #")
    wanted = {"label": str, "active": bool, "coefficient": (int, float), "family": str, "inverted": bool}
    for key, kind in wanted.items():
        if not isinstance(channel.get(key), kind):  # type: ignore[arg-type]
            yield Finding("viewers", f"{where}.{key}", f"{channel.get(key)!r}", "each one missing breaks some viewer")
    if isinstance(family := channel.get("family"), str) and family not in _FAMILIES:
        yield Finding("viewers", f"{where}.family", f"{family!r}", f"families are {', '.join(_FAMILIES)}")
    window = channel.get("window")
    numbers = [window.get(key) if isinstance(window, dict) else None for key in ("min", "max", "start", "end")]
    if not all(is_number(number) for number in numbers):
        yield Finding("spec", f"{where}.window", f"{window!r}", "a window has the numbers min, max, start and end")
    elif numbers[0] > numbers[1] or numbers[2] >= numbers[3]:  # type: ignore[operator]
        yield Finding("viewers", f"{where}.window", f"{window!r}", "min is not above max, and start is below end")
    elif shows_nothing(numbers[0], numbers[1], numbers[2], numbers[3]):  # type: ignore[arg-type]
        yield Finding("viewers", f"{where}.window", f"{window!r}", DARK, "set start and end to percentiles of the pixels")


def shows_nothing(low: float, high: float, start: float, end: float) -> bool:
    """Whether pixels between `low` and `high` look like one grey when those from `start` to `end` are shown.

    Constant pixels do anyway. Of pixels that are nearly all of one value this program shows a step of 1 from there on (`ngff.windows`).
    """
    if low >= high or (low <= start <= high and end == max(start + 1.0, math.nextafter(start, math.inf))):
        return False
    return end - start > _WIDEST * (high - low) or start > high or end < low
