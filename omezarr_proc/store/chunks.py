"""Chunk files of a dataset on disk: their names, writing them, reading a finished level back. Runs in the workers, without zarr."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.host.faults import describe, retry
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Index, Region
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.opening import PLAIN


@dataclass(frozen=True)
class ChunkStore:
    """Where the chunks of one dataset lie: `root/<level>/c/[t/]c/[z/]y/x` with the stored axes; in Zarr v2 without the first `c`."""

    root: str
    pyramid: Pyramid
    codec: Codec
    zarr_format: Literal[2, 3] = 3

    def folder(self, level: int, chunk: Index) -> str:
        """The folder of the row of chunks that a chunk, by its place in the grid of the level, is in; its name there is its x."""
        prefix = ("c",) if self.zarr_format == 3 else ()
        return "/".join((self.root, str(level), *prefix, *map(str, self.pyramid.stored(chunk)[:-1])))

    def paths(self, level: int, chunks: Region) -> Iterator[str]:
        """The chunk files of a region of the level's grid of chunks, by depth, row, column and channel."""
        t, c, _, _, _ = chunks.start
        for _, _, z, y, _ in chunks.along(1, c, c + 1).along(4, chunks.start[4], chunks.start[4] + 1).indices():
            folders = [self.folder(level, (t, channel, z, y, 0)) for channel in range(c, chunks.stop[1])]
            for x in range(chunks.start[4], chunks.stop[4]):
                yield from (f"{folder}/{x}" for folder in folders)


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
            folder = store.folder(level, (t, part, z // depth, y // tile, 0))
            for x in range(x0, x1, tile):
                read_chunk(f"{folder}/{x // tile}", store.codec, pixels)
                for channel in range(max(c, part * per_chunk), min(region.stop[1], (part + 1) * per_chunk)):
                    plane = pixels[channel - part * per_chunk, z % depth]
                    yield channel - c, y, x, plane[: y1 - y, : x1 - x, np.newaxis]


def read_chunk(path: str, codec: Codec, out: NDArray[Any]) -> None:
    """Fill `out` from a chunk file."""
    try:
        codec.decode(retry(Path(path).read_bytes), out)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot read back a chunk that was written: {error}") from error


def write_chunk(path: str, data: bytes, root: str) -> None:
    """Create or replace one chunk file, and its folders below `root` where they are not there yet. Raises OutputError.

    No temporary name: until the dataset is published nobody reads it, and a file twice named costs twice on network file systems.
    Never emptied: a worker that was given up while it was stuck in here may do its step after its replacement has written the same bytes.
    """
    try:
        retry(lambda: _write(path, data, root))
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {describe(error)}") from error


def _write(path: str, data: bytes, root: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | PLAIN
    try:
        fd = os.open(path, flags, 0o666)
    except FileNotFoundError:
        _make_folder(os.path.dirname(path), root)
        fd = os.open(path, flags, 0o666)
    try:
        if os.fstat(fd).st_size > len(data):
            os.ftruncate(fd, len(data))
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _make_folder(folder: str, root: str) -> None:
    """Like `os.makedirs`, but never makes `root`: an output folder that has vanished must not come back half filled."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        if len(folder) <= len(root):
            raise
        _make_folder(os.path.dirname(folder), root)
        _make_folder(folder, root)
