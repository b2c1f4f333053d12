"""Slot to store: encode the tiles of a level, write the chunk files, fold the same pixels into the next level of the slot."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.pyramid import ceil_div
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.average import box_mean
from omezarr_proc.store.checksums import checksum
from omezarr_proc.store.chunks import write_chunk
from omezarr_proc.work.filing import Filing, Ticket
from omezarr_proc.work.tasks import Job, Write, Written

# Constant chunks remembered by a worker: some values of empty background, each a few hundred bytes.
_MOST_CONSTANTS = 64


class Writer:
    """Writes the tiles of one image."""

    def __init__(self, job: Job, filing: Filing) -> None:
        """Take the store and the way of downsampling from `job`; files go through `filing`."""
        self._filing = filing
        self._constants: dict[bytes, bytes] = {}
        self._store = job.store
        self._nearest = job.nearest

    def write(self, task: Write, tiles: NDArray[Any], above: NDArray[Any] | None, ticket: Ticket) -> Written:
        """Store `task.tiles` of `tiles[rows, columns, channels, tile, tile]`, and fold each into its quarter of a tile of `above`.

        What lies outside the level in an edge tile is set to zero. `ticket` counts the files.
        """
        store, step, tile = self._store, task.step, self._store.tile
        level, rect = task.stage.first + step, task.band.at(step)
        found: list[histogram.Extremes | None] = [None] * store.frames.channels if level == 0 else []
        checksums = bytearray()
        for row in range(task.tiles.y0, task.tiles.y1):
            height = min(tile, rect.height - row * tile)
            folders = [store.folder(level, task.band.frame, part, rect.y0 // tile + row) for part in range(store.chunks_per_tile)]
            for column in range(task.tiles.x0, task.tiles.x1):
                width = min(tile, rect.width - column * tile)
                pixels = tiles[row, column]
                pixels[:, height:] = 0
                pixels[:, :height, width:] = 0
                for part, folder in enumerate(folders):
                    encoded = self._encode(pixels if store.bundled else pixels[part : part + 1])
                    path = f"{folder}/{rect.x0 // tile + column}"
                    self._filing.put(folder, len(encoded), partial(write_chunk, path, encoded, store.root), ticket)
                    checksums += checksum(encoded)
                valid = pixels[:, :height, :width]
                if level == 0:
                    found = [histogram.merge_extremes(e, histogram.extremes(p)) for e, p in zip(found, valid, strict=True)]
                if above is not None:
                    self._fold(valid, above[row // 2, column // 2], row % 2 * tile // 2, column % 2 * tile // 2)
        return Written(step, task.tiles, bytes(checksums), tuple(found))

    def _encode(self, chunk: NDArray[Any]) -> bytes:
        """The stored bytes of `chunk[channels, tile, tile]`; of one whose channels each have one value (empty background), from memory."""
        values = chunk[:, 0, 0]
        if not _constant(chunk):
            return self._store.codec.encode(chunk)
        key = values.tobytes()
        encoded = self._constants.get(key)
        if encoded is None:
            if len(self._constants) >= _MOST_CONSTANTS:
                self._constants.clear()
            self._constants[key] = encoded = self._store.codec.encode(chunk)
        return encoded

    def _fold(self, pixels: NDArray[Any], into: NDArray[Any], y: int, x: int) -> None:
        """Halve `pixels[channels, h, w]` to (`y`, `x`) of the tile `into[channels, tile, tile]` of the next level."""
        height, width = ceil_div(pixels.shape[1], 2), ceil_div(pixels.shape[2], 2)
        out = into[:, y : y + height, x : x + width]
        if self._nearest:
            out[...] = pixels[:, ::2, ::2]
            return
        for channel, plane in enumerate(pixels):
            box_mean(plane[:, :, np.newaxis], 2, out[channel : channel + 1])


def _constant(chunk: NDArray[Any]) -> bool:
    """Whether each channel of `chunk[channels, h, w]` is one value throughout, bit for bit."""
    bits = chunk.view(f"u{chunk.itemsize}")
    lines = (bits[:, 0, -1], bits[:, -1, 0], bits[:, bits.shape[1] // 2, bits.shape[2] // 2])  # most chunks differ here already
    return all((bits[:, 0, 0] == line).all() for line in lines) and all(plane.min() == plane.max() for plane in bits)
