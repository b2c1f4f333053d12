"""How a pyramid is cut into passes of bands, and what of the source is decoded twice by that. Pure.

A *pass* makes the levels `first..last` out of one source: the TIFF, or a finished level. A *band* is a region of the pass's first level
whose sides are multiples of the objects of all its levels (in the first level's pixels) or end with the level. So it holds whole objects of
every level of its pass and touches no object of another band, and anyone who has the source can make it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import mul

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Level, Pyramid
from omezarr_proc.model.region import Index, Region, X, Y, Z, ceil_div
from omezarr_proc.plan.access import ACCESSES

# Most of the source that may be decoded twice because segments straddle bands.
MAX_AMPLIFICATION = 1.1

# By how much an encoded chunk can be larger than its pixels (BLOSC_MAX_OVERHEAD): in a shard it takes their place.
ENCODED_MORE = 16

# One time point and depth after the other with all its channels: planes that share segments follow each other.
ORDER = (0, 2, 1, 3, 4)


@dataclass(frozen=True)
class Pass:
    """Levels `first..last` out of one source: the TIFF (`source` None) or a finished level.

    ratio  source pixels per pixel of level `first`, along each axis
    band   pixels of level `first`, along each axis
    """

    source: int | None
    ratio: Index
    first: int
    last: int
    band: Index

    @property
    def steps(self) -> range:
        """Levels from the first on."""
        return range(self.last - self.first + 1)


def bands(pass_: Pass, pyramid: Pyramid, within: Sequence[Region] | None = None) -> Iterator[Region]:
    """All bands of a pass, in pixels of its first level, in the order in which they are worked.

    within  only of these regions of the base level, that hold whole objects of all levels of the pass
    """
    if within is None:
        return pyramid.levels[pass_.first].region.cut(pass_.band, ORDER)
    ratio = pyramid.ratio(0, pass_.first)
    return (band for region in within for band in region.divided(ratio).cut(pass_.band, ORDER))


def band_count(pass_: Pass, pyramid: Pyramid) -> int:
    """How many `bands` there are."""
    return pyramid.levels[pass_.first].region.divided(pass_.band).size


def at(pyramid: Pyramid, pass_: Pass, band: Region, step: int) -> Region:
    """The ground of a band `step` levels up, in that level's pixels."""
    return band.divided(pyramid.ratio(pass_.first, pass_.first + step))


@dataclass(frozen=True)
class SlotLevel:
    """Where one level's part of a band lies in a slot, from byte `offset`: `[z, y, x, channels, depth, tile, tile]`, z, y, x in chunks.

    Every chunk is contiguous, so the encoder reads it where the downsampling has put it.

    cells    [z, y, x, chunks there, bytes]: the same memory, with what there is between two chunks of a shard
    """

    offset: int
    shape: tuple[int, int, int, int, int, int, int]
    strides: tuple[int, int, int, int, int, int, int]
    cells: tuple[int, int, int, int, int]


def slot_levels(pass_: Pass, pyramid: Pyramid) -> tuple[tuple[SlotLevel, ...], int]:
    """The parts of a slot for each level of a pass, and the bytes of a whole slot."""
    parts: list[SlotLevel] = []
    end = 0
    for step in pass_.steps:
        level = pyramid.levels[pass_.first + step]
        largest = at(pyramid, pass_, Region((0, 0, 0, 0, 0), pass_.band), step).clipped(level.shape)
        _, _, z, y, x = largest.divided(level.chunk).shape
        parts.append(_slot_level(pyramid, level, end, (z, y, x)))
        end += math.prod(parts[-1].cells)
    return tuple(parts), ceil_div(end, 4096) * 4096


def _slot_level(pyramid: Pyramid, level: Level, offset: int, chunks: tuple[int, int, int]) -> SlotLevel:
    (z, y, x), (_, _, depth, height, width) = chunks, level.chunk
    row = width * pyramid.itemsize
    channel = depth * height * row
    there, bundle = (1, pyramid.channels) if pyramid.bundled else (pyramid.channels, 1)
    cell = bundle * channel + (ENCODED_MORE if level.sharded else 0)
    beside = there * cell
    strides = (y * x * beside, x * beside, beside, channel if pyramid.bundled else cell, height * row, row, pyramid.itemsize)
    return SlotLevel(offset, (z, y, x, pyramid.channels, depth, height, width), strides, (z, y, x, there, cell))


@dataclass(frozen=True)
class First:
    """A pass over the TIFF, its slot and its read amplification: segments decoded, over segments there are."""

    pass_: Pass
    slot_bytes: int
    amplification: float


def first_passes(image: Image, pyramid: Pyramid, access: tuple[str, ...]) -> list[First]:
    """All passes over the TIFF worth trying, the best first: most levels, then widest bands. `access`: of each layout.

    Bands of several planes are tried as high as the plane too: taller ones of more levels would be deeper as well.
    """
    ratio = first_ratio(image, pyramid)
    found = []
    for last in range(len(pyramid.levels) - 1, -1, -1):
        for pass_ in _of_width(pyramid, None, ratio, 0, last):
            found.append(First(pass_, slot_levels(pass_, pyramid)[1], _amplification(image, pass_, access)))
            if found[-1].amplification > MAX_AMPLIFICATION and planes_of(pass_) > 1:
                high = _of_whole_height(pass_, pyramid)
                found.append(First(high, slot_levels(high, pyramid)[1], _amplification(image, high, access)))
    return found


def first_ratio(image: Image, pyramid: Pyramid) -> Index:
    """Pixels of the TIFF's planes that make one of the base level, along each axis."""
    t, c, z, y, x = pyramid.levels[0].factor
    return t, c, z, y // image.reduced_by, x // image.reduced_by


def planes_of(pass_: Pass) -> int:
    """Source planes of a band along z, at most."""
    return pass_.band[Z] * pass_.ratio[Z]


def next_pass(pyramid: Pyramid, source: int, target: int) -> Pass:
    """The pass after level `source` with as many levels, then bands as wide, as a slot of `target` bytes takes."""
    first = source + 1
    ratio = pyramid.ratio(source, first)
    best = narrowest(pyramid, source, ratio, first, first)
    for last in range(first + 1, len(pyramid.levels)):  # the slot grows with each level
        narrow = narrowest(pyramid, source, ratio, first, last)
        if slot_levels(narrow, pyramid)[1] > target:
            break
        best = narrow
    wider = _of_width(pyramid, source, ratio, first, best.last)
    return next((pass_ for pass_ in wider if slot_levels(pass_, pyramid)[1] <= target), best)


def passes_left(pyramid: Pyramid, passes: Sequence[Pass], made: int, target: int) -> list[Pass]:
    """The passes that are left where the levels up to `made` are (-1: none), whatever passes have made them; in slots of `target` bytes."""
    if made < 0 or any(pass_.source == made for pass_ in passes):
        return [pass_ for pass_ in passes if pass_.first > made]
    following: list[Pass] = []
    while made < len(pyramid.levels) - 1:
        following.append(next_pass(pyramid, made, target))
        made = following[-1].last
    return following


def narrowest(pyramid: Pyramid, source: int | None, ratio: Index, first: int, last: int) -> Pass:
    """The pass with the smallest bands: they hold whole objects of each level, without shards one chunk of level `last`."""
    levels = range(first, last + 1)
    objects = (tuple(map(mul, pyramid.ratio(first, level), pyramid.levels[level].object)) for level in levels)
    t, _, z, y, x = map(math.lcm, *objects)
    return Pass(source, ratio, first, last, (t, pyramid.channels, z, y, x))


def _of_width(pyramid: Pyramid, source: int | None, ratio: Index, first: int, last: int) -> Iterator[Pass]:
    """Passes with bands as wide as the plane, then half of it and so on."""
    narrow = narrowest(pyramid, source, ratio, first, last)
    units = ceil_div(pyramid.levels[first].width, narrow.band[X])
    t, c, z, y, x = narrow.band
    while True:
        yield Pass(source, ratio, first, last, (t, c, z, y, units * x))
        if units == 1:
            return
        units = ceil_div(units, 2)


def _of_whole_height(pass_: Pass, pyramid: Pyramid) -> Pass:
    t, c, z, y, x = pass_.band
    return replace(pass_, band=(t, c, z, y * ceil_div(pyramid.levels[pass_.first].height, y), x))


def _amplification(image: Image, pass_: Pass, access: tuple[str, ...]) -> float:
    height, width = pass_.band[Y] * pass_.ratio[Y], pass_.band[X] * pass_.ratio[X]
    planes = min(planes_of(pass_), image.size_z)
    layouts = image.layouts
    if area := image.ground:
        layouts = tuple(replace(layout, height=area.height, width=area.width) for layout in layouts)
    return max(ACCESSES[how].amplification(layout, planes, height, width) for layout, how in zip(layouts, access, strict=True))


def cut_lines(image: Image, pyramid: Pyramid, pass_: Pass, access: str) -> tuple[int, int, int]:
    """Where a band may be cut into loads so that nothing is decoded twice: each so many planes, rows and columns of its level; 0: nowhere.

    access  of the image's first layout
    """
    if pass_.source is not None:
        _, _, *chunk = pyramid.levels[pass_.source].chunk
        z, y, x = (math.lcm(side, n) // n for side, n in zip(chunk, pass_.ratio[Z:], strict=True))
        return z, y, x
    d = pass_.ratio[Y]
    rows, columns = ACCESSES[access].cut_lines(image.layouts[0], d)
    if (area := image.ground) and access == "segment" and (area.y0 % (rows * d) or (columns and area.x0 % (columns * d))):
        return 1, 0, 0  # no segment begins where a pixel of the level does
    return 1, rows, columns
