"""Slot to store: encode the chunks of a level, store them, fold the same pixels into the next level of the slot."""

from functools import partial
from typing import Any

from numpy.typing import NDArray

from omezarr_proc.model.pyramid import Level
from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.passes import at
from omezarr_proc.store.checksums import checksum
from omezarr_proc.store.chunks import stacked
from omezarr_proc.work.filing import Files, Ticket
from omezarr_proc.work.fold import fold
from omezarr_proc.work.tasks import Job, Write, Written

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

    def write(self, task: Write, slot: NDArray[Any], above: NDArray[Any] | None, ticket: Ticket) -> Written:
        """Store `task.chunks` of `slot[z, y, x, channels, depth, tile, tile]`, and fold them into their part of `above`.

        Chunks whose boxes straddle them along z are folded together, when the last one is stored. What lies outside the level in an edge
        chunk is set to zero. `ticket` counts the files.
        """
        store, pyramid = self._store, self._store.pyramid
        index = task.pass_.first + task.step
        level = pyramid.levels[index]
        band = at(pyramid, task.pass_, task.band, task.step)
        origin = band.divided(level.chunk)
        deep = 1 if above is None else pyramid.deep(index, index + 1)
        found: list[histogram.Extremes | None] = [None] * pyramid.channels if index == 0 else []
        checksums = bytearray()
        t, c, *_ = task.chunks.start
        for z, y in _rows(task.chunks):
            rows = [store.row(index, (t, part, z, y, 0)) for part in range(c, task.chunks.stop[1])]
            for x in range(task.chunks.start[X], task.chunks.stop[X]):
                place = z - origin.start[Z], y - origin.start[Y], x - origin.start[X]
                pixels = slot[place]
                valid = _valid(pixels, level.shape, (z, y, x))
                for part, row in enumerate(rows):
                    encoded = self._encode(pixels if pyramid.bundled else pixels[part : part + 1])
                    key = f"{row}/{x}"
                    folder = key if store.objects.apart else row
                    self._files.put(folder, len(encoded), partial(store.objects.put, key, encoded), ticket)
                    checksums += checksum(encoded)
                if index == 0:
                    found = [histogram.merge_extremes(e, histogram.extremes(p)) for e, p in zip(found, valid, strict=True)]
                if above is not None and ((z + 1) % deep == 0 or z + 1 == level.grid.shape[Z]):
                    self._fold(level, place, z % deep, valid, slot, above)
        return Written(task.step, task.chunks, bytes(checksums), tuple(found))

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


def _rows(chunks: Region) -> list[tuple[int, int]]:
    return [(z, y) for z in range(chunks.start[Z], chunks.stop[Z]) for y in range(chunks.start[Y], chunks.stop[Y])]


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
