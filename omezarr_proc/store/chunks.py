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


def read_planes(store: ChunkStore, level: int, region: Region) -> Iterator[tuple[int, int, int, NDArray[Any]]]:
    """Yield (channel within the region, y, x, pixels[h, w, 1]) of one time point and depth of a finished level.

    region  in pixels; it begins on a chunk edge in y and x. The arrays are reused.

    Raises OutputError where a chunk is missing or damaged.
    """
    pyramid = store.pyramid
    _, per_chunk, depth, tile, _ = chunk = pyramid.levels[level].chunk
    t, c, z, y0, x0 = region.start
    *_, y1, x1 = region.stop
    pixels = np.empty(chunk[1:], pyramid.dtype)
    for y in range(y0, y1, tile):
        for part in range(c // per_chunk, -(-region.stop[1] // per_chunk)):
            row = store.row(level, (t, part, z // depth, y // tile, 0))
            for x in range(x0, x1, tile):
                store.read(f"{row}/{x // tile}", pixels)
                for channel in range(max(c, part * per_chunk), min(region.stop[1], (part + 1) * per_chunk)):
                    plane = pixels[channel - part * per_chunk, z % depth]
                    yield channel - c, y, x, plane[: y1 - y, : x1 - x, np.newaxis]
