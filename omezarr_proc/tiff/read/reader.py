"""Pixels of a rectangle of a plane, block by block, in a worker process.

    rows     uncompressed: byte ranges, never more than the rectangle; big rectangles in pieces that fit the cache
    segment  each whole segment that the rectangle touches is decoded, and its part inside is yielded
    stream   a huge Deflate segment, decompressed from its begin in pieces; goes on where the last call ended

Blocks are (y, x, pixels[h, w, samples]) in native byte order, disjoint, and cover the rectangle exactly, row by row of segments;
thin strips are joined. Their memory may be used again for the next block.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Image, Plane, Rect
from omezarr_proc.tiff.file.bytes import Opener
from omezarr_proc.tiff.read import photometric
from omezarr_proc.tiff.read.segments import Segments
from omezarr_proc.tiff.read.spool import read_spooled, spool
from omezarr_proc.tiff.read.stream import Streams

# Bytes of a block of rows of one plane, which stays in a core's cache until it is averaged, and of one of several planes, at most.
PIECE = 256 << 10
_STACK = 1 << 20

Block = tuple[int, int, NDArray[Any]]


class Reader:
    """Reads the planes of one image; opens its files when they are needed."""

    def __init__(
        self, image: Image, on_damage: Callable[[str], None] | None = None, opener: Opener | None = None, piece: int = PIECE
    ) -> None:
        """`on_damage` is told of each damaged segment whose pixels are taken as decoded; without it such a segment is an error."""
        self.image = image
        self._piece = piece
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
            return ((y, x, pixels[0]) for y, x, pixels in self._rows((plane,), rect, 1))
        if access == "segment":
            colours = self._source.page(plane).shown.colours
            return self._segments(plane, rect) if colours is None else colours.blocks(self._segments(plane, rect))
        if access == "stream" and layout.stream:
            return self._streams.read(plane, rect, self._piece)
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

    def stacks(self, planes: Sequence[Plane | None], d: int) -> bool:
        """Whether `read_stack` reads these planes: uncompressed and alike, and no segment ends within a box of d x d pixels."""
        first = planes[0]
        if first is None or not (layout := self.image.layouts[first.layout]).raw:
            return False
        shown = self._source.page(first).shown
        alike = (plane is not None and plane.layout == first.layout and self._source.page(plane).shown == shown for plane in planes)
        sides = (layout.segment_height, layout.height), (layout.segment_width, layout.width)
        whole = all(side % d == 0 or side >= end for side, end in sides)
        row_of_boxes = len(planes) * d * min(layout.segment_width, layout.width) * layout.samples * shown.stored.itemsize
        return shown.convert is None and shown.colours is None and whole and row_of_boxes <= _STACK and all(alike)

    def read_stack(self, planes: Sequence[Plane], rect: Rect, d: int) -> Iterator[Block]:
        """The pixels of `rect`, which begins on a box, of planes that are `stacks`, in blocks [planes, h, w, samples] of whole boxes.

        Raises InputError for anything missing.
        """
        return self._rows(planes, rect, d)

    def spool(self, plane: Plane, fd: int, offset: int) -> None:
        """Decode the whole plane into the file `fd` from byte `offset` on: rows [height, width, samples] of the layout's dtype."""
        spool(self._source, plane, fd, offset)

    def read_spooled(self, plane: Plane, rect: Rect, fd: int, offset: int) -> Iterator[Block]:
        """The pixels of `rect` from such a file, in pieces of rows."""
        return read_spooled(self.image.layouts[plane.layout], rect, fd, offset, self._piece)

    def _segments(self, plane: Plane, rect: Rect) -> Iterator[Block]:
        layout, samples = self.image.layouts[plane.layout], self._source.page(plane).shown.samples_before
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        columns = range(rect.x0 // wide, -(-rect.x1 // wide))
        line = min(wide, layout.width) * samples * np.dtype(layout.dtype).itemsize
        # A block of a few rows costs what comes after as much as one of many, and boxes that straddle blocks cost more.
        joined = max(1, self._piece // (high * line)) if across == 1 else 1
        end = -(-rect.y1 // high)
        for top in range(rect.y0 // high, end, joined):
            rows = range(top, min(top + joined, end))
            pixels = self._source.segments(plane, (row * across + column for row in rows for column in columns))
            for column in columns:
                x0, x1 = max(rect.x0, column * wide), min(rect.x1, column * wide + wide)
                parts = []
                for row in rows:
                    y0, y1 = max(rect.y0, row * high), min(rect.y1, row * high + high)
                    part = next(pixels)[y0 - row * high : y1 - row * high, x0 - column * wide : x1 - column * wide]
                    if part.shape != (y1 - y0, x1 - x0, samples) or part.dtype != layout.dtype:
                        index = row * across + column
                        raise self._source.error(plane, f"segment {index} decodes to {part.shape} {part.dtype}; the file is corrupt")
                    parts.append(part)
                yield max(rect.y0, top * high), x0, np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _rows(self, planes: Sequence[Plane], rect: Rect, d: int) -> Iterator[Block]:
        """Blocks (y, x, pixels[planes, h, w, samples]) that end on every `d`-th row, or with a segment."""
        layout = self.image.layouts[planes[0].layout]
        shown = self._source.page(planes[0]).shown
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        pixel = shown.stored.itemsize * shown.stored_samples
        lines = min(self._piece, _STACK // len(planes)) // (pixel * min(wide, rect.width)) // d * d or d
        buffer = bytearray()
        for row in range(rect.y0 // high, -(-rect.y1 // high)):
            end = min(rect.y1, row * high + high)
            for y0 in range(max(rect.y0, row * high), end, lines):
                for column in range(rect.x0 // wide, -(-rect.x1 // wide)):
                    x0, x1 = max(rect.x0, column * wide), min(rect.x1, column * wide + wide)
                    shape = len(planes), min(y0 + lines, end) - y0, x1 - x0, shown.stored_samples
                    if len(buffer) < math.prod(shape) * shown.stored.itemsize:  # fresh memory for each would be cleared each time
                        buffer = bytearray(math.prod(shape) * shown.stored.itemsize)
                    values = np.ndarray(shape, shown.stored, buffer)
                    for plane, part in zip(planes, values, strict=True):
                        self._fill(plane, row * across + column, (y0 - row * high, x0 - column * wide), part)
                    yield y0, x0, _native(values, shown)

    def _fill(self, plane: Plane, index: int, begin: tuple[int, int], out: NDArray[Any]) -> None:
        """Read `out[h, w, samples]`, as stored, from row and column `begin` of an uncompressed segment on."""
        place = self._source.extent(plane, index)
        if place is None:
            out[...] = self._source.nodata(plane)
            return
        (top, left), wide, pixel = begin, self.image.layouts[plane.layout].segment_width, out.itemsize * out.shape[2]
        if (top + len(out)) * wide * pixel > place[1]:
            raise self._source.error(plane, f"segment {index} has only {place[1]} bytes; the file is cut off or corrupt")
        at = place[0] + (top * wide + left) * pixel
        lines = [out] if out.shape[1] == wide else out
        self._source.read_into(plane, [(at + i * wide * pixel, line.data.cast("B")) for i, line in enumerate(lines)])


def _native(values: NDArray[Any], shown: photometric.Pixels) -> NDArray[Any]:
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return values if shown.convert is None and shown.colours is None else shown.finished(values[0])[np.newaxis]
