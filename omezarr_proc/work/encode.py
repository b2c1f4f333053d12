"""Slot to store: fold the chunks of a level into the next one of the slot, encode them, store them, or as many as a shard has."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.pyramid import Level
from omezarr_proc.model.region import Index, Region, X, Y, Z
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.digests import BLOCK, Digest, digests_of
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.passes import at
from omezarr_proc.store.checksums import CHECKSUM_BYTES, checksum
from omezarr_proc.store.chunks import stacked
from omezarr_proc.store.codec import HEADER_BYTES, stated_bytes
from omezarr_proc.store.objects import Data
from omezarr_proc.store.shard import make_index
from omezarr_proc.work.filing import Files, Ticket
from omezarr_proc.work.fold import fold
from omezarr_proc.work.replies import Sealed, Written
from omezarr_proc.work.tasks import Job, Seal, Write

# Constant chunks remembered by a worker: some values of empty background, each a few hundred bytes.
_MOST_CONSTANTS = 64


class Writer:
    """Writes the chunks of one image."""

    def __init__(self, job: Job, files: Files) -> None:
        """Take the store and the way of downsampling from `job`; what is to be stored goes to `files`."""
        self._files = files
        self._constants: dict[bytes, bytes] = {}
        self._store = job.store
        self._reduction = REDUCTIONS[job.method]
        self._counted = job.counted
        self._hashed = job.hashed

    def write(self, task: Write, slot: NDArray[Any], cells: NDArray[np.uint8], above: NDArray[Any] | None, ticket: Ticket) -> Written:
        """Fold `task.chunks` of `slot[z, y, x, channels, depth, tile, tile]` into their part of `above`; then encode and store them.

        Chunks whose boxes straddle them along z are folded together, when the last one is there. What lies outside the level in an edge
        chunk is set to zero. Chunks of shards are left in `cells[z, y, x, parts, bytes]`, the same memory. `ticket` counts the files.
        """
        pyramid = self._store.pyramid
        level = pyramid.levels[task.pass_.first + task.step]
        origin = at(pyramid, task.pass_, task.band, task.step).divided(level.chunk).start[Z:]
        deep = 1 if above is None else pyramid.deep(level.index, level.index + 1)
        digests: list[Digest] = []
        found: list[histogram.Extremes | None] = [None] * pyramid.channels if level.index == 0 else []
        counts = [np.zeros(histogram.BINS, np.int64) for _ in range(pyramid.channels)] if level.index == self._counted else []
        t, c, z0, y0, x0 = task.chunks.start
        _, _, planes, high, wide = level.chunk
        checksums = np.zeros((*task.chunks.shape[Z:], task.chunks.shape[1]), f"V{CHECKSUM_BYTES}")
        for z, y, x in _places(task.chunks):
            place = z - origin[0], y - origin[1], x - origin[2]
            valid = _valid(slot[place], level.shape, (z, y, x))
            if level.index == 0:
                found = [histogram.merge_extremes(e, histogram.extremes(p)) for e, p in zip(found, valid, strict=True)]
            for total, pixels in zip(counts, valid, strict=False):
                histogram.count(pixels, total)
            if self._hashed and self._holds_blocks(level):
                digests += digests_of(valid[np.newaxis], (t, task.band.start[1], z * planes, y * high, x * wide))
            before = z % deep
            if before + 1 < deep and z + 1 < level.grid.shape[Z]:
                continue  # it is folded with the one behind it, and encoded bytes may take the place of pixels only then
            if above is not None:
                self._fold(level, place, before, valid, slot, above)
            for depth in range(z - before, z + 1):
                here = depth - origin[0], *place[1:]
                for part in range(task.chunks.shape[1]):
                    encoded = self._encode(slot[here] if pyramid.bundled else slot[here][part : part + 1])
                    if level.sharded:
                        cells[here][part, : len(encoded)] = np.frombuffer(encoded, np.uint8)
                    else:
                        self._put(level.index, (t, c + part, depth, y, x), encoded, ticket)
                        checksums[depth - z0, y - y0, x - x0, part] = np.void(checksum(encoded))
        packed = tuple(map(histogram.Packed.of, counts))
        return Written(task.step, task.chunks, b"" if level.sharded else checksums.tobytes(), tuple(found), packed, tuple(digests))

    def _holds_blocks(self, level: Level) -> bool:
        """Whether the level's chunks hold whole blocks of its pixels."""
        return self._store.pyramid.tile % BLOCK == 0 or level.grid.shape[Y:] == (1, 1)

    def seal(self, task: Seal, cells: NDArray[np.uint8], ticket: Ticket) -> Sealed:
        """Store the shards whose chunks lie encoded in `cells[z, y, x, parts, bytes]`, from there. `ticket` counts the files."""
        pyramid = self._store.pyramid
        level = pyramid.levels[task.pass_.first + task.step]
        origin = at(pyramid, task.pass_, task.band, task.step).divided(level.chunk)
        t, c, *_ = task.objects.start
        checksums = bytearray()
        for (z, y, x), part in product(_places(task.objects), range(task.objects.shape[1])):
            place = t, c + part, z, y, x
            chunks = Region(place, (t + 1, c + part + 1, z + 1, y + 1, x + 1)).scaled(level.shard).clipped(level.grid.shape)
            pieces = [_encoded(cells[where][part]) for where in _places(chunks.within(origin))]
            index = make_index(pyramid.stored(level.shard), pyramid.stored(chunks.shape), [len(piece) for piece in pieces])
            shard: Data = [*pieces, index]
            checksums += checksum(shard)
            self._put(level.index, place, shard, ticket)
        return Sealed(task.step, task.objects, bytes(checksums))

    def _put(self, level: int, place: Index, data: Data, ticket: Ticket) -> None:
        """Have an object stored, by its place in the level's grid of objects."""
        objects, row = self._store.objects, self._store.row(level, place)
        key = f"{row}/{place[X]}"
        size = len(data) if isinstance(data, bytes) else sum(map(len, data))
        self._files.put(key if objects.apart else row, size, partial(objects.put, key, data), ticket)

    def _encode(self, chunk: NDArray[Any]) -> bytes:
        """The stored bytes of `chunk[channels, depth, tile, tile]`; of one whose channels each have one value, from memory."""
        lines = chunk.reshape(len(chunk), -1, chunk.shape[-1])
        if not _constant(lines):
            return self._store.codec.encode(chunk)
        key = lines[:, 0, 0].tobytes()
        encoded = self._constants.get(key)
        if encoded is None:
            if len(self._constants) >= _MOST_CONSTANTS:
                self._constants.clear()
            self._constants[key] = encoded = self._store.codec.encode(chunk)
        return encoded

    def _fold(
        self, level: Level, place: tuple[int, int, int], before: int, valid: NDArray[Any], slot: NDArray[Any], above: NDArray[Any]
    ) -> None:
        """Fold what the level has of the chunk at `place` of the slot, `valid[channels, depth, h, w]`, with `before` chunks in front."""
        pyramid, (z, y, x), (_, _, deep, high, wide) = self._store.pyramid, place, level.chunk
        if before:
            planes, (height, width) = before * deep + valid.shape[1], valid.shape[2:]
            valid = stacked(slot[z - before : z + 1, y, x])[:, :planes, :height, :width]
        begin = (z - before) * deep, y * high, x * wide
        fold(valid, begin, pyramid.ratio(level.index, level.index + 1), above, self._reduction)


def _places(region: Region) -> Iterator[tuple[int, int, int]]:
    """Every z, y and x in it."""
    return product(*(range(region.start[axis], region.stop[axis]) for axis in (Z, Y, X)))  # type: ignore[return-value]


def _encoded(cell: NDArray[np.uint8]) -> memoryview:
    """The chunk that lies encoded in a cell, which may be longer."""
    return memoryview(cell)[: stated_bytes(cell[:HEADER_BYTES].tobytes())]


def _valid(pixels: NDArray[Any], shape: tuple[int, ...], chunk: tuple[int, int, int]) -> NDArray[Any]:
    """The part of a chunk's `pixels[channels, depth, tile, tile]` that is inside the level; the rest of it is set to zero."""
    _, *sides = pixels.shape
    depth, height, width = (min(side, size - n * side) for side, size, n in zip(sides, shape[Z:], chunk, strict=True))
    pixels[:, depth:] = 0
    pixels[:, :depth, height:] = 0
    pixels[:, :depth, :height, width:] = 0
    return pixels[:, :depth, :height, :width]


def _constant(chunk: NDArray[Any]) -> bool:
    """Whether each channel of `chunk[channels, h, w]` is one value throughout, bit for bit."""
    bits = chunk.view(f"u{chunk.itemsize}")
    lines = (bits[:, 0, -1], bits[:, -1, 0], bits[:, bits.shape[1] // 2, bits.shape[2] // 2])  # most chunks differ here already
    return all((bits[:, 0, 0] == line).all() for line in lines) and all(plane.min() == plane.max() for plane in bits)
