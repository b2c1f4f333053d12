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
from omezarr_proc.model.image import Rect
from omezarr_proc.model.pyramid import Frames, Level
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.opening import PLAIN


@dataclass(frozen=True)
class ChunkStore:
    """Where the chunks of one dataset lie: `root/<level>/c/[t/]c/[z/]y/x` with the indices of `axes`; in Zarr v2 without the first `c`."""

    root: str
    axes: tuple[str, ...]
    tile: int
    bundled: bool
    codec: Codec
    dtype: str
    levels: tuple[Level, ...]
    frames: Frames
    zarr_format: Literal[2, 3] = 3

    def folder(self, level: int, frame: int, channel: int, row: int) -> str:
        """The folder of one row of chunks; `channel` counts within the frame."""
        t, c, z = self.frames.position(frame)
        index = {"t": t, "c": 0 if self.bundled else c + channel, "z": z, "y": row}
        prefix = ("c",) if self.zarr_format == 3 else ()
        return "/".join((self.root, str(level), *prefix, *(str(index[a]) for a in self.axes if a != "x")))

    def paths(self, level: int, frame: int, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[str]:
        """The chunk files of rows `rows[0]..rows[1]-1` and columns alike: by row, column and channel."""
        for row in range(*rows):
            folders = [self.folder(level, frame, part, row) for part in range(self.chunks_per_tile)]
            for column in range(*columns):
                yield from (f"{folder}/{column}" for folder in folders)

    @property
    def chunks_per_tile(self) -> int:
        """Chunks that one tile of a frame becomes: 1 when bundled, else one a channel."""
        return 1 if self.bundled else self.frames.channels

    def read(self, level: int, frame: int, rect: Rect) -> Iterator[tuple[int, int, int, NDArray[Any]]]:
        """Yield (channel, y, x, pixels[h, w, 1]) of a finished level; `rect` begins on a chunk edge. The arrays are reused.

        Raises OutputError where a chunk is missing or damaged.
        """
        per_chunk = self.frames.channels if self.bundled else 1
        chunk = np.empty((per_chunk, self.tile, self.tile), self.dtype)
        for y in range(rect.y0, rect.y1, self.tile):
            for part in range(self.chunks_per_tile):
                folder = self.folder(level, frame, part, y // self.tile)
                for x in range(rect.x0, rect.x1, self.tile):
                    read_chunk(f"{folder}/{x // self.tile}", self.codec, chunk)
                    for c in range(per_chunk):
                        yield part + c, y, x, chunk[c, : rect.y1 - y, : rect.x1 - x, np.newaxis]


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
