"""What a viewer shows of each channel at first, and of which pixels it is found out. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from omezarr_proc.pixels.histogram import Extremes

LEVEL_PIXELS = 4_000_000  # windows are read from the first level with at most so many pixels a plane
SAMPLED_PIXELS = 8_000_000  # of a channel, as far as whole planes allow: tens of milliseconds to decode and count


class Sized(Protocol):
    """What is needed of a level: its size in pixels."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""


@dataclass(frozen=True)
class Window:
    """One channel's omero window: the finite extremes of level 0, and what is shown as black (`start`) and as full colour (`end`)."""

    min: float
    max: float
    start: float
    end: float


def window(extremes: Extremes | None, percentiles: Extremes | None) -> Window:
    """The window from a channel's finite extremes and its percentiles, each None where there is no finite value."""
    if extremes is None:
        return Window(0.0, 1.0, 0.0, 1.0)
    start, end = percentiles or extremes
    if end <= start:
        end = max(start + 1.0, math.nextafter(start, math.inf))  # a float may be too large for 1 to make a difference
    return Window(*extremes, start, end)


def window_level(levels: Sequence[Sized]) -> int:
    """Index of the level whose pixels make the percentiles: the first with at most 4 megapixels a plane, else the last."""
    return next((i for i, level in enumerate(levels) if level.height * level.width <= LEVEL_PIXELS), len(levels) - 1)


def sampled_planes(size_t: int, size_z: int, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The (t, z) of the planes of `height` x `width` pixels that make the percentiles: every n-th of all, from the middle of the first n.

    n is the least that keeps a channel's pixels to 8 million, and shares no factor with `size_z` where there are several t: else each t
    would be seen at the same few z.
    """
    n = max(1, -(-size_t * size_z * height * width // SAMPLED_PIXELS))
    n = min(n, size_t * size_z)
    while size_t > 1 and math.gcd(n, size_z) > 1:
        n += 1
    return tuple(divmod(plane, size_z) for plane in range(min(n // 2, size_t * size_z - 1), size_t * size_z, n))
