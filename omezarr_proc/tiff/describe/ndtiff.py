"""What NDTiff (Micro-Manager 2, pycro-manager) says of each page: its place along named axes. Pure.

Source: NDTiff's specification (NDTiffStorage): tag 51123 of each page is a JSON object; `Axes` gives the page's position along each axis,
an integer or, for channels, a name; with integers the key `Channel` may name it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

METADATA = 51123
MAX_PAGE = 1 << 20  # bytes that are read of each page's
_AXES = ("time", "channel", "z")


@dataclass(frozen=True)
class Grid:
    """Sizes (t, c, z), which page is where in the order (t, z, c), and the names of the channels, empty where there is none."""

    sizes: tuple[int, int, int]
    order: tuple[int, ...]
    channels: tuple[str, ...]


def position(text: str) -> dict[str, Any] | None:
    """The axes of one page's text, and its channel's name under "name"; None where it is no such text."""
    try:
        values = json.loads(text)
        axes = dict(values["Axes"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not all(isinstance(value, int | str) for value in axes.values()):
        return None
    channel = axes.get("channel")
    name = channel if isinstance(channel, str) else values.get("Channel")
    return axes | {"name": name if isinstance(name, str) else ""}


def grid(positions: Sequence[dict[str, Any]]) -> Grid | None:
    """How pages of these positions fill time, channel and z; None where there is a hole, a double or another axis."""
    others = {(key, one[key]) for one in positions for key in one if key not in (*_AXES, "name")}
    if len({key for key, _ in others}) < len(others):
        return None
    found = {tuple(one.get(axis, 0) for axis in _AXES): number for number, one in enumerate(positions)}
    times, channels, slices = (_values([place[axis] for place in found]) for axis in range(3))
    if len(found) != len(positions) or len(times) * len(channels) * len(slices) != len(positions):
        return None
    order = tuple(found[t, c, z] for t, z, c in product(times, slices, channels))
    names = tuple(positions[number]["name"] for number in order[: len(channels)])
    return Grid((len(times), len(channels), len(slices)), order, names)


def _values(values: Sequence[Any]) -> list[Any]:
    """Each once: numbers in their order, names in that of the file."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(isinstance(value, int) for value in distinct) else distinct
