"""Chunks in objects: their keys, and reading a finished level back. Used by the workers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Index, Region
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.shard import index_bytes, place_of, read_index


@dataclass(frozen=True)
class ChunkStore:
    """The chunks of one dataset in its `objects`: `<level>/c/[t/]c/[z/]y/x` with the stored axes; in Zarr v2 without the first `c`."""

    objects: Objects
    pyramid: Pyramid
    codec: Codec
    zarr_format: Literal[2, 3] = 3

    def row(self, level: int, place: Index) -> str:
        """The key of the row of objects that one, by its place in the level's grid of objects, is in; `/x` behind it is the object's."""
        prefix = ("c",) if self.zarr_format == 3 else ()
        return "/".join((str(level), *prefix, *map(str, self.pyramid.stored(place)[:-1])))

    def keys(self, level: int, objects: Region) -> Iterator[str]:
        """The keys of a region of the level's grid of objects, by depth, row, column and channel."""
        t, c, _, _, _ = objects.start
        for _, _, z, y, _ in objects.along(1, c, c + 1).along(4, objects.start[4], objects.start[4] + 1).indices():
            rows = [self.row(level, (t, channel, z, y, 0)) for channel in range(c, objects.stop[1])]
            for x in range(objects.start[4], objects.stop[4]):
                yield from (f"{row}/{x}" for row in rows)

    def read(self, key: str, out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of a chunk that is an object. Raises OutputError where it is missing or damaged."""
        self._decode(key, lambda: self.objects.get(key), out)

    def _decode(self, key: str, get: Callable[[], bytes], out: NDArray[Any]) -> None:
        try:
            self.codec.decode(get(), out)
        except (OSError, ValueError, RuntimeError) as error:
            raise OutputError(f"cannot read back {key}, which was written: {error}", source=str(self.objects)) from error


class _Reader:
    """Reads chunks of a finished level one by one; of shards only what is asked for, and each index once."""

    def __init__(self, store: ChunkStore, level: int) -> None:
        self._store, self._level = store, store.pyramid.levels[level]
        self._grid = store.pyramid.stored(self._level.shard)
        self._indexes: dict[str, NDArray[Any]] = {}

    def read(self, place: Index, out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of a chunk, by its place in the grid of chunks. Raises OutputError."""
        store, level = self._store, self._level
        ranges = [divmod(at, n) for at, n in zip(place, level.shard, strict=True)]
        t, c, z, y, x = (number for number, _ in ranges)
        key = f"{store.row(level.index, (t, c, z, y, x))}/{x}"
        if not level.sharded:
            store.read(key, out)
            return
        t, c, z, y, x = (within for _, within in ranges)
        store._decode(key, lambda: self._part(key, store.pyramid.stored((t, c, z, y, x))), out)

    def _part(self, key: str, chunk: tuple[int, ...]) -> bytes:
        if key not in self._indexes:
            size = index_bytes(prod(self._grid))
            self._indexes[key] = read_index(self._store.objects.part(key, -size, size)[0], self._grid)
        if (part := place_of(self._indexes[key], chunk)) is None:
            raise ValueError(f"chunk {chunk} of the shard is missing")
        return self._store.objects.part(key, *part)[0]


def read_chunks(store: ChunkStore, level: int, region: Region, deep: int = 1) -> Iterator[tuple[Region, NDArray[Any]]]:
    """Yield a region of a finished level chunk by chunk: (part, pixels[channels, depth, h, w]). Each chunk is decoded once.

    region  in pixels, as the parts are
    deep    chunks along z that are yielded as one, counted from the first of the level

    The arrays are reused. Raises OutputError where a chunk is missing or damaged.
    """
    chunk = store.pyramid.levels[level].chunk
    t, c, z, y, x = chunk
    reader = _Reader(store, level)
    buffer = np.empty((deep, *chunk[1:]), store.pyramid.dtype)
    for part in region.cut((t, c, deep * z, y, x), (0, 2, 3, 1, 4)):
        cells = part.divided(chunk)
        for place, pixels in zip(cells.indices(), buffer, strict=False):
            reader.read(place, pixels)
        here = part.within(cells.scaled(chunk))
        ranges = tuple(map(slice, here.start[1:], here.stop[1:]))
        yield part, stacked(buffer[: cells.size])[ranges]


def stacked(chunks: NDArray[Any]) -> NDArray[Any]:
    """`chunks[n, channels, depth, h, w]`, one behind another, as [channels, n * depth, h, w]; no copy for one, nor for single planes."""
    return np.moveaxis(chunks, 0, 1).reshape(chunks.shape[1], -1, *chunks.shape[3:])
