"""Levels of a dataset as pixels of the five axes, whatever axes and chunks they are stored in, and what differs between two of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.decoding import chunk_decoder, region_reader
from omezarr_proc.check.shards import is_known
from omezarr_proc.model.region import AXES, Index, Region, Z
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.store.codec import Codec, without_threads
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.shard import index_bytes, place_of, read_index
from omezarr_proc.store.zarr_array import Array


@dataclass(frozen=True)
class Difference:
    """Pixels that are not what they should be.

    count   how many
    place   of the first, in the order of AXES
    found, expected  its values; `problem` instead where the stored ones cannot be read
    """

    count: int
    place: Index
    found: float | int | None = None
    expected: float | int | None = None
    problem: str = ""

    @property
    def text(self) -> str:
        """In words, after "is not what it should be"."""
        at = ", ".join(f"{axis}={i}" for axis, i in zip(AXES, self.place, strict=True))
        what = self.problem or f"{self.found} is stored, {self.expected} is expected"
        return f"{self.count} {'pixel differs' if self.count == 1 else 'pixels differ'}, the first at {at}: {what}"


def merged(differences: Iterable[Difference | None]) -> Difference | None:
    """All of them as one: how many pixels, and the first of all."""
    there = [difference for difference in differences if difference is not None]
    if not there:
        return None
    first = min(there, key=lambda difference: difference.place)
    return Difference(sum(d.count for d in there), first.place, first.found, first.expected, first.problem)


def difference(found: NDArray[Any], expected: NDArray[Any], start: Index) -> Difference | None:
    """What differs between pixels[t, c, z, y, x] of one shape that begin at `start`; NaN is equal to NaN."""
    unlike = found != expected
    if expected.dtype.kind == "f":
        unlike &= (found == found) | (expected == expected)
    if not unlike.any():
        return None
    here = tuple(int(i) for i in np.argwhere(unlike)[0])
    t, c, z, y, x = (a + b for a, b in zip(start, here, strict=True))
    return Difference(int(np.count_nonzero(unlike)), (t, c, z, y, x), found[here].item(), expected[here].item())


class Level:
    """One level of a dataset, opened.

    Raises ValueError where its axes are not some of t, c, z, y and x in this order, and whatever zarr says to codecs that it does not know.
    """

    def __init__(self, dataset: Dataset, array: Array) -> None:
        self.array, names = array, dataset.axes
        if len(names) != len(array.shape) or names != tuple(name for name in AXES if name in names) or names[-2:] != ("y", "x"):
            raise ValueError(f"its axes are {', '.join(names)}")
        self._names = names
        self.shape = self._five(array.shape)
        self.tile = self._five(array.tiles)
        plain = [codec["name"] for codec in array.codecs if codec["name"] != "bytes"] == ["blosc"] and array.dtype in VIEWABLE
        self._decode = _shard_tiles(dataset, array) if is_known(array) else chunk_decoder(dataset, array) if plain else None
        self._region = None if self._decode else region_reader(dataset, array)
        self._fill = None if dataset.own is not None else array.fill_value

    def read(self, region: Region) -> NDArray[Any]:
        """Pixels[t, c, z, y, x] of a region inside the level.

        Raises FileNotFoundError where a chunk is absent that this program would have written, and whatever a codec says to damaged bytes.
        """
        if self._region is not None:
            slices = (slice(a, b) for name, a, b in zip(AXES, region.start, region.stop, strict=True) if name in self._names)
            return self._region(tuple(slices)).reshape(region.shape)
        out: NDArray[Any] | None = None
        for part in region.cut(self.tile):
            cell = part.divided(self.tile)
            pixels = self._chunk(cell.start, cell.scaled(self.tile).clipped(self.shape).shape)
            here = part.within(cell.scaled(self.tile))
            pixels = pixels[tuple(map(slice, here.start, here.stop))]
            if part == region:
                return pixels
            if out is None:
                out = np.empty(region.shape, pixels.dtype)
            there = part.within(region)
            out[tuple(map(slice, there.start, there.stop))] = pixels
        assert out is not None  # a region has a part
        return out

    def _chunk(self, place: Index, shape: Index) -> NDArray[Any]:
        assert self._decode is not None  # else zarr reads
        index = tuple(i for name, i in zip(AXES, place, strict=True) if name in self._names)
        try:
            return self._decode(index).reshape(shape)
        except FileNotFoundError:
            if not isinstance(self._fill, int | float):
                raise
            return np.full(shape, self._fill, self.array.dtype)

    def compared(self, region: Region, expected: NDArray[Any]) -> Difference | None:
        """What differs in a region from `expected[t, c, z, y, x]`; what cannot be read differs in all its pixels."""
        try:
            found = self.read(region)
        except FileNotFoundError:
            return Difference(region.size, region.start, problem="a chunk is missing")
        except Exception as error:  # whatever a codec says to damaged bytes
            return Difference(region.size, region.start, problem=f"a chunk cannot be decoded: {type(error).__name__}")
        return difference(found.astype(expected.dtype, copy=False), expected, region.start)

    def _five(self, values: tuple[int, ...]) -> Index:
        by_name = dict(zip(self._names, values, strict=True))
        t, c, z, y, x = (by_name.get(name, 1) for name in AXES)
        return t, c, z, y, x


def _shard_tiles(dataset: Dataset, array: Array) -> Callable[[tuple[int, ...]], NDArray[Any]]:
    """As `chunk_decoder`, tile by tile: of a shard only the bytes of one are read, and its index once."""
    objects = dataset.objects
    dtype = np.dtype(array.dtype).newbyteorder("<" if array.little else ">")
    codec = Codec(cname="", clevel=0, shuffle="noshuffle", typesize=dtype.itemsize)
    grid = tuple(chunk // tile for chunk, tile in zip(array.chunks, array.tiles, strict=True))
    size = index_bytes(math.prod(grid))
    indexes: dict[str, NDArray[Any]] = {}

    def decode(index: tuple[int, ...]) -> NDArray[Any]:
        shard, within = zip(*(divmod(i, n) for i, n in zip(index, grid, strict=True)), strict=True)
        key = f"{array.path}/{array.chunk_name(shard)}"
        if key not in indexes:
            indexes[key] = read_index(objects.part(key, -size, size)[0], grid)
        if (part := place_of(indexes[key], within)) is None:
            raise FileNotFoundError(2, "No such chunk in the shard", key)
        pixels = np.empty(array.tiles, dtype)
        with without_threads():
            codec.decode(objects.part(key, *part)[0], pixels)
        return pixels[tuple(slice(end - i * tile) for i, tile, end in zip(index, array.tiles, array.shape, strict=True))]

    return decode


@dataclass(frozen=True)
class Step:
    """From a level to the next one, by a row of REDUCTIONS. Raises ValueError where the sizes of `above` are not those that this gives."""

    below: Level
    above: Level
    method: str

    def __post_init__(self) -> None:
        """Hold the sizes against each other."""
        expected = Region((0, 0, 0, 0, 0), self.below.shape).divided(self.ratio).stop
        if self.above.shape != expected:
            raise ValueError(f"is of size {self.above.shape}, level {self.below.array.path} gives {expected}")

    @property
    def ratio(self) -> Index:
        """Pixels of the level below that make one, along each axis: z stays, or is halved as y and x are."""
        return 1, 1, 1 if self.below.shape[Z] == self.above.shape[Z] else 2, 2, 2

    def tiles(self) -> Iterator[Region]:
        """The regions of the level above that are compared one by one."""
        return Region((0, 0, 0, 0, 0), self.above.shape).cut(self.above.tile)

    def difference(self, tile: Region) -> Difference | None:
        """What differs in a tile of the level above from what the level below makes of it."""
        try:
            source = self.below.read(tile.scaled(self.ratio).clipped(self.below.shape))
        except Exception:  # the level below has told of it, where it was held against what it is made of
            return None
        return self.above.compared(tile, halved(source, self.method, self.ratio[Z]))


def halved(pixels: NDArray[Any], method: str, deep: int = 1) -> NDArray[Any]:
    """`pixels[..., z, h, w]` by half in y and x, and `deep` times smaller in z, as `DOWNSAMPLE_METHOD` has it."""
    *before, depth, height, width = pixels.shape
    volumes = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).reshape(-1, depth, height, width)
    out = np.empty((len(volumes), -(-depth // deep), -(-height // 2), -(-width // 2)), volumes.dtype)
    REDUCTIONS[method].fold(volumes, deep, 2, out)
    return out.reshape(*before, *out.shape[1:])
