"""Pixels of a rectangle of a plane, block by block, in a worker process.

    rows     uncompressed: byte ranges, never more than the rectangle; big rectangles in pieces that fit the cache
    segment  each whole segment that the rectangle touches is decoded, and its part inside is yielded
    stream   a huge Deflate segment, decompressed from its begin in pieces; goes on where the last call ended

Blocks are (y, x, pixels[h, w, samples]) in native byte order, disjoint, and cover the rectangle exactly, row by row of segments. Their
memory may be used again for the next block.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Image, Plane, Rect
from omezarr_proc.tiff.file.bytes import Opener
from omezarr_proc.tiff.read import decode
from omezarr_proc.tiff.read.segments import Segments
from omezarr_proc.tiff.read.spool import read_spooled, spool
from omezarr_proc.tiff.read.stream import Streams

PIECE = 512 << 10  # bytes of a block of rows

Block = tuple[int, int, NDArray[Any]]


class Reader:
    """Reads the planes of one image; opens its files when they are needed."""

    def __init__(self, image: Image, on_damage: Callable[[str], None] | None = None, opener: Opener | None = None) -> None:
        """`on_damage` is told of each damaged segment whose pixels are taken as decoded; without it such a segment is an error."""
        self.image = image
        self._source = Segments(image, on_damage, opener)
        self._streams = Streams(self._source)

    def close(self) -> None:
        """Close the files and forget all state."""
        self._streams.close()
        self._source.close()

    def read(self, plane: Plane, rect: Rect, access: str) -> Iterator[Block]:
        """The pixels of `rect` as blocks (see the module).

        Raises InputError for anything missing or corrupt, ValueError for an access that the layout does not have.
        """
        layout = self.image.layouts[plane.layout]
        if access == "rows" and layout.raw:
            return self._rows(plane, rect)
        if access == "segment":
            return self._segments(plane, rect)
        if access == "stream" and layout.stream:
            return self._streams.read(plane, rect, PIECE)
        raise ValueError(f"no access {access!r} to {layout.compression} segments")

    def ahead(self, wanted: Iterable[tuple[Plane, Rect, str]]) -> None:
        """Begin to fetch what `read` will ask for, where the files are far away. Errors come when it is read."""
        with contextlib.suppress(ProcError):
            self._source.ahead(
                (plane, *place)
                for plane, rect, access in wanted
                if access in ("rows", "segment") and self._source.distant(plane)
                for place in self._places(plane, rect, access)
            )

    def _places(self, plane: Plane, rect: Rect, access: str) -> Iterator[tuple[int, int]]:
        """The bytes (offset, count) that a read takes of each segment, one after the other; with those between parts of rows."""
        layout = self.image.layouts[plane.layout]
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        for row in range(rect.y0 // high, -(-rect.y1 // high)):
            for column in range(rect.x0 // wide, -(-rect.x1 // wide)):
                place = self._source.extent(plane, row * across + column)
                if place is None:
                    continue
                if access == "rows":
                    shown = self._source.page(plane).shown
                    line = wide * shown.stored.itemsize * shown.stored_samples
                    first, last = max(rect.y0 - row * high, 0), min(rect.y1 - row * high, high)
                    place = place[0] + first * line, min(last * line, place[1]) - first * line
                yield place

    def spool(self, plane: Plane, fd: int, offset: int) -> None:
        """Decode the whole plane into the file `fd` from byte `offset` on: rows [height, width, samples] of the layout's dtype."""
        spool(self._source, plane, fd, offset)

    def read_spooled(self, plane: Plane, rect: Rect, fd: int, offset: int) -> Iterator[Block]:
        """The pixels of `rect` from such a file, in pieces of rows."""
        return read_spooled(self.image.layouts[plane.layout], rect, fd, offset, PIECE)

    def _segments(self, plane: Plane, rect: Rect) -> Iterator[Block]:
        layout = self.image.layouts[plane.layout]
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        for row in range(rect.y0 // high, -(-rect.y1 // high)):
            y0, y1 = max(rect.y0, row * high), min(rect.y1, row * high + high)
            columns = range(rect.x0 // wide, -(-rect.x1 // wide))
            pixels = self._source.segments(plane, (row * across + column for column in columns))
            for column in columns:
                x0, x1 = max(rect.x0, column * wide), min(rect.x1, column * wide + wide)
                index = row * across + column
                part = next(pixels)[y0 - row * high : y1 - row * high, x0 - column * wide : x1 - column * wide]
                if part.shape != (y1 - y0, x1 - x0, layout.samples) or part.dtype != layout.dtype:
                    raise self._source.error(plane, f"segment {index} decodes to {part.shape} {part.dtype}; the file is corrupt")
                yield y0, x0, part

    def _rows(self, plane: Plane, rect: Rect) -> Iterator[Block]:
        layout = self.image.layouts[plane.layout]
        shown = self._source.page(plane).shown
        stored = shown.stored
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        pixel = stored.itemsize * shown.stored_samples
        lines = max(1, PIECE // (pixel * min(wide, rect.width)))
        for row in range(rect.y0 // high, -(-rect.y1 // high)):
            end = min(rect.y1, row * high + high)
            for y0 in range(max(rect.y0, row * high), end, lines):
                y1 = min(y0 + lines, end)
                for column in range(rect.x0 // wide, -(-rect.x1 // wide)):
                    x0, x1 = max(rect.x0, column * wide), min(rect.x1, column * wide + wide)
                    index = row * across + column
                    place = self._source.extent(plane, index)
                    if place is None:
                        yield y0, x0, self._source.empty(plane)[: y1 - y0, : x1 - x0]
                        continue
                    if (y1 - row * high) * wide * pixel > place[1]:
                        raise self._source.error(plane, f"segment {index} has only {place[1]} bytes; the file is cut off or corrupt")
                    values = np.empty((y1 - y0, x1 - x0, shown.stored_samples), stored)
                    begin = place[0] + ((y0 - row * high) * wide + x0 - column * wide) * pixel
                    lines_read = [values] if x1 - x0 == wide else values
                    self._source.read_into(plane, [(begin + i * wide * pixel, line.data.cast("B")) for i, line in enumerate(lines_read)])
                    yield y0, x0, _native(values, shown)


def _native(values: NDArray[Any], shown: decode.Pixels) -> NDArray[Any]:
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return values if shown.convert is None else shown.convert(values)
