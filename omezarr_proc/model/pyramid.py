"""The pyramid of an image as one value: each level's axes with their sizes, factors and chunks. All else about its geometry follows.

Sizes halve with ceil, so that an edge box averages the pixels that exist, and factors are exact:
`size of level k = ceil(full size / factor of level k)`. z is an axis like the others; its factor is 1 where z is not halved.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np

from omezarr_proc.model.image import Image
from omezarr_proc.model.region import AXES, Index, Region, Z, ceil_div
from omezarr_proc.model.volume import ZChunk, ZDownsample, chunk_depth, z_factors


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of one level.

    size    pixels
    factor  full-resolution pixels that one of its pixels spans
    chunk   pixels of a chunk
    object  pixels of what is stored under one key: a chunk, or a shard of several
    """

    size: int
    factor: int
    chunk: int
    object: int


@dataclass(frozen=True)
class Level:
    """One resolution: `axes` are those of AXES, in their order."""

    index: int
    axes: tuple[Axis, Axis, Axis, Axis, Axis]

    @cached_property
    def shape(self) -> Index:
        """Pixels along each axis."""
        return self._each("size")

    @cached_property
    def factor(self) -> Index:
        """Full-resolution pixels per pixel."""
        return self._each("factor")

    @cached_property
    def chunk(self) -> Index:
        """Pixels of a chunk."""
        return self._each("chunk")

    @cached_property
    def object(self) -> Index:
        """Pixels of what is stored under one key."""
        return self._each("object")

    @property
    def sharded(self) -> bool:
        """Whether an object holds several chunks."""
        return self.object != self.chunk

    @property
    def height(self) -> int:
        """Rows of a plane."""
        return self.shape[3]

    @property
    def width(self) -> int:
        """Columns of a plane."""
        return self.shape[4]

    @cached_property
    def region(self) -> Region:
        """All of it."""
        return Region((0, 0, 0, 0, 0), self.shape)

    @cached_property
    def grid(self) -> Region:
        """All of its chunks, in chunks."""
        return self.region.divided(self.chunk)

    @cached_property
    def objects(self) -> Region:
        """All of its objects, in objects."""
        return self.region.divided(self.object)

    @cached_property
    def shard(self) -> Index:
        """Chunks of an object along each axis."""
        t, c, z, y, x = (n // chunk for n, chunk in zip(self.object, self.chunk, strict=True))
        return t, c, z, y, x

    def _each(self, what: str) -> Index:
        t, c, z, y, x = (getattr(axis, what) for axis in self.axes)
        return t, c, z, y, x


@dataclass(frozen=True)
class Pyramid:
    """All levels of an image, as they are stored.

    names     the axes that arrays and keys have, in the order of AXES; the others have size 1
    dtype     numpy name of a stored pixel
    channels  that are loaded together: all where a chunk bundles them, else what one TIFF plane interleaves
    """

    levels: tuple[Level, ...]
    names: tuple[str, ...]
    dtype: str
    channels: int

    @cached_property
    def itemsize(self) -> int:
        """Bytes of a stored pixel."""
        return np.dtype(self.dtype).itemsize

    @property
    def tile(self) -> int:
        """Side of a chunk in y and x, in pixels."""
        return self.levels[0].axes[4].chunk

    @property
    def sharded(self) -> bool:
        """Whether some of its objects hold several chunks."""
        return any(level.sharded for level in self.levels)

    @property
    def bundled(self) -> bool:
        """Whether a chunk holds all channels."""
        return self.levels[0].axes[1].chunk == self.levels[0].axes[1].size

    @property
    def channel_groups(self) -> int:
        """How many channel groups there are."""
        return self.levels[0].shape[1] // self.channels

    def ratio(self, fine: int, coarse: int) -> Index:
        """Pixels of level `fine` that make one of level `coarse`, along each axis."""
        t, c, z, y, x = (b // a for a, b in zip(self.levels[fine].factor, self.levels[coarse].factor, strict=True))
        return t, c, z, y, x

    def deep(self, fine: int, coarse: int) -> int:
        """Chunks of level `fine` along z that hold whole boxes of level `coarse`: more than one where boxes straddle them."""
        planes = self.ratio(fine, coarse)[Z]
        return planes // math.gcd(planes, self.levels[fine].chunk[Z])

    def stored(self, values: Index) -> tuple[int, ...]:
        """Of one value for each of AXES those of the stored axes."""
        return tuple(value for name, value in zip(AXES, values, strict=True) if name in self.names)

    def frames(self, level: int) -> int:
        """Rows of chunks across t, z and channel groups: how a record counts what is finished."""
        return self.levels[level].shape[0] * self.levels[level].grid.shape[2] * self.channel_groups

    def frame(self, level: int, t: int, c: int, z: int) -> int:
        """The number of the frame with the time point `t`, the channel `c` and, in chunks, the depth `z`."""
        return (t * self.levels[level].grid.shape[2] + z) * self.channel_groups + c // self.channels

    def position(self, level: int, frame: int) -> tuple[int, int, int]:
        """The time point, first channel and depth in chunks of a frame: the inverse of `frame`."""
        tz, group = divmod(frame, self.channel_groups)
        t, z = divmod(tz, self.levels[level].grid.shape[2])
        return t, group * self.channels, z

    def frame_chunks(self, level: int, frame: int, rows: tuple[int, int], columns: tuple[int, int]) -> Region:
        """The chunks of rows `rows[0]..rows[1]-1` and columns alike of a frame, in chunks."""
        t, c, z = self.position(level, frame)
        first, last = (0, 1) if self.bundled else (c, c + self.channels)
        return Region((t, first, z, rows[0], columns[0]), (t + 1, last, z + 1, rows[1], columns[1]))

    @property
    def pixels(self) -> int:
        """Of all levels, planes and channels."""
        return sum(level.region.size for level in self.levels)

    @property
    def chunk_count(self) -> int:
        """Chunks of all levels."""
        return sum(level.grid.size for level in self.levels)


def make_pyramid(
    image: Image,
    *,
    downsample: int,
    tile: int,
    bundled: bool,
    max_levels: int,
    min_dimension: int,
    names: tuple[str, ...],
    z_downsample: ZDownsample = "none",
    z_chunk: ZChunk = 1,
) -> Pyramid:
    """The pyramid of an image whose base level is `downsample` times smaller than full resolution in y and x.

    downsample    a power of two
    tile          side of a chunk in y and x
    bundled       whether a chunk holds all channels
    names         the axes that are stored
    z_downsample  which levels halve z (see `volume.z_factors`)
    z_chunk       planes of a chunk (see `volume.chunk_depth`)

    Ends with the first level that has both sides at or below `min_dimension`, or with `max_levels` levels where that is not 0.
    """
    c_chunk, depth = image.size_c if bundled else 1, 0
    levels: list[Level] = []
    for z_factor, factor in _factors(image, downsample, z_downsample, max_levels, min_dimension):
        depth = depth or chunk_depth(image, z_chunk, ceil_div(image.size_z, z_factor))
        t, z = _axis(image.size_t, 1, 1), _axis(image.size_z, z_factor, depth)
        y, x = (_axis(side, factor, tile) for side in (image.height, image.width))
        levels.append(Level(len(levels), (t, _axis(image.size_c, 1, c_chunk), z, y, x)))
    return Pyramid(tuple(levels), names, image.stored_dtype, image.size_c if bundled else image.layouts[0].samples)


def base_z_factor(image: Image, downsample: int, z_downsample: ZDownsample) -> int:
    """The factor of z of a base level that is `downsample` times smaller in y and x."""
    return next(islice(z_factors(image, z_downsample), downsample.bit_length() - 1, None))


def _factors(image: Image, downsample: int, z_downsample: ZDownsample, max_levels: int, min_dimension: int) -> Iterator[tuple[int, int]]:
    """The factor of each level in z, and in y and x."""
    halvings = downsample.bit_length() - 1
    for count, z_factor in enumerate(islice(z_factors(image, z_downsample), halvings, None), 1):
        factor = downsample << (count - 1)
        yield z_factor, factor
        if ceil_div(max(image.height, image.width), factor) <= min_dimension or count == max_levels:
            return


def _axis(full: int, factor: int, chunk: int) -> Axis:
    return Axis(size=ceil_div(full, factor), factor=factor, chunk=chunk, object=chunk)


def axis_names(image: Image, axes: Literal["auto", "czyx"]) -> tuple[str, ...]:
    """The stored axes: t and z only where there is more than one, since an axis of size 1 changes what viewers do; "czyx" always has z."""
    t = ("t",) if image.size_t > 1 else ()
    z = ("z",) if image.size_z > 1 or axes == "czyx" else ()
    return (*t, "c", *z, "y", "x")
