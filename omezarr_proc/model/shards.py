"""Which chunks of a level become one object, a *shard*: what one band makes of one level. Pure.

A band of 8 x 8 chunks of its first level makes 4 x 4 of the next, 2 x 2 and 1, and the pass after it begins with 8 x 8 again. So a shard
costs no pass of its own and is never read back, and two bands never meet in one: each object lies in the band that makes it.
How many chunks a shard has is a function of their bytes and of how the source is stored, never of memory, since it shows in the dataset.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Axis, Level, Pyramid
from omezarr_proc.model.region import X, Y, Z, ceil_div

# The largest side of a shard in chunks, and the bytes of all levels that a band makes, before compression: what the largest slot takes.
# The same image has other bytes with another number.
MOST_SIDE = 8
BAND_BYTES = 18 << 20

_Sides = tuple[int, int]  # of a shard in y and x, in chunks


def sharded(pyramid: Pyramid, image: Image) -> Pyramid:
    """The same levels, stored in shards.

    The smallest level stays in chunks, which some viewers want whole; so does one of which a shard would hold a single chunk.
    """
    sides = _sides(pyramid, image)
    *larger, smallest = pyramid.levels
    return replace(pyramid, levels=(*(_in_shards(level, next(sides)) for level in larger), smallest))


def _sides(pyramid: Pyramid, image: Image) -> Iterator[_Sides]:
    """Those of the shards of each level, before they are clipped to it."""
    first = 0
    while first < len(pyramid.levels):
        wide = pyramid.levels[0].grid.shape[X] if first == 0 and _in_full_width_strips(image) else 0
        levels, height = _band(pyramid, first, wide)
        width = max(height, _width(pyramid, height)) if wide else height
        yield from ((max(1, height >> step), max(1, width >> step)) for step in range(levels))
        first += levels


def _band(pyramid: Pyramid, first: int, wide: int) -> tuple[int, int]:
    """How many levels a band from `first` on makes, and its height in chunks: most levels, then the highest, within BAND_BYTES.

    wide  chunks across where it must be as wide as the plane; 0: it is as wide as it is high
    """
    for levels in range(min(MOST_SIDE.bit_length(), len(pyramid.levels) - first), 0, -1):
        side = MOST_SIDE
        while side >= 1 << (levels - 1):
            if _bytes(pyramid, first, levels, side, wide or side) <= BAND_BYTES:
                return levels, side
            side //= 2
    return 1, 1


def _bytes(pyramid: Pyramid, first: int, levels: int, height: int, width: int) -> int:
    """What all levels of a band take; z counts as far as the level goes, since boxes of the last level must be whole."""
    last = first + levels - 1
    deep = (min(pyramid.ratio(level, last)[Z], pyramid.levels[level].grid.shape[Z]) for level in range(first, last + 1))
    chunks = sum(z * ceil_div(height, 1 << step) * ceil_div(width, 1 << step) for step, z in enumerate(deep))
    return chunks * _chunk_bytes(pyramid) * (1 if pyramid.bundled else pyramid.channels)


def _width(pyramid: Pyramid, height: int) -> int:
    """Of a shard that is low, since segments are as wide as the plane: as many chunks in all, and no more bytes, than of a square one."""
    width = MOST_SIDE**2 // height
    while width > 1 and height * width * _chunk_bytes(pyramid) > BAND_BYTES:
        width //= 2
    return width


def _chunk_bytes(pyramid: Pyramid) -> int:
    return prod(pyramid.levels[0].chunk) * pyramid.itemsize


def _in_full_width_strips(image: Image) -> bool:
    """Whether reading a part of a row decodes all of it."""
    return any(not layout.raw and layout.segment_width >= layout.width for layout in image.layouts)


def _in_shards(level: Level, sides: _Sides) -> Level:
    t, c, z, y, x = level.axes
    return Level(level.index, (t, c, z, _with_object(y, sides[0], level.grid.shape[Y]), _with_object(x, sides[1], level.grid.shape[X])))


def _with_object(axis: Axis, side: int, chunks: int) -> Axis:
    return replace(axis, object=min(side, chunks) * axis.chunk)
