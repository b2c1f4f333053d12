"""Chunks as objects: their keys, and reading a finished level back. Used by the workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Index, Region
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.objects import Objects


@dataclass(frozen=True)
class ChunkStore:
    """The chunks of one dataset among its `objects`: `<level>/c/[t/]c/[z/]y/x` with the stored axes; in Zarr v2 without the first `c`."""

    objects: Objects
    pyramid: Pyramid
    codec: Codec
    zarr_format: Literal[2, 3] = 3

    def row(self, level: int, chunk: Index) -> str:
        """The key of the row of chunks that a chunk, by its place in the grid of the level, is in; `/x` behind it is the chunk's."""
        prefix = ("c",) if self.zarr_format == 3 else ()
        return "/".join((str(level), *prefix, *map(str, self.pyramid.stored(chunk)[:-1])))

    def keys(self, level: int, chunks: Region) -> Iterator[str]:
        """The keys of a region of the level's grid of chunks, by depth, row, column and channel."""
        t, c, _, _, _ = chunks.start
        for _, _, z, y, _ in chunks.along(1, c, c + 1).along(4, chunks.start[4], chunks.start[4] + 1).indices():
            rows = [self.row(level, (t, channel, z, y, 0)) for channel in range(c, chunks.stop[1])]
            for x in range(chunks.start[4], chunks.stop[4]):
                yield from (f"{row}/{x}" for row in rows)

    def read(self, key: str, out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of a chunk. Raises OutputError where it is missing or damaged."""
        try:
            self.codec.decode(self.objects.get(key), out)
        except (OSError, ValueError, RuntimeError) as error:
            raise OutputError(f"cannot read back {key}, which was written: {error}", source=str(self.objects)) from error


def read_chunks(store: ChunkStore, level: int, region: Region, deep: int = 1) -> Iterator[tuple[Region, NDArray[Any]]]:
    """Yield a region of a finished level chunk by chunk: (part, pixels[channels, depth, h, w]). Each chunk is decoded once.

    region  in pixels, as the parts are
    deep    chunks along z that are yielded as one, counted from the first of the level

    The arrays are reused. Raises OutputError where a chunk is missing or damaged.
    """
    chunk = store.pyramid.levels[level].chunk
    t, c, z, y, x = chunk
    buffer = np.empty((deep, *chunk[1:]), store.pyramid.dtype)
    for part in region.cut((t, c, deep * z, y, x), (0, 2, 3, 1, 4)):
        cells = part.divided(chunk)
        for place, pixels in zip(cells.indices(), buffer, strict=False):
            store.read(f"{store.row(level, place)}/{place[4]}", pixels)
        here = part.within(cells.scaled(chunk))
        ranges = tuple(map(slice, here.start[1:], here.stop[1:]))
        yield part, stacked(buffer[: cells.size])[ranges]


def stacked(chunks: NDArray[Any]) -> NDArray[Any]:
    """`chunks[n, channels, depth, h, w]`, one behind another, as [channels, n * depth, h, w]; no copy for one, nor for single planes."""
    return np.moveaxis(chunks, 0, 1).reshape(chunks.shape[1], -1, *chunks.shape[3:])
