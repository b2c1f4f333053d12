"""Huge Deflate segments, decompressed in pieces: memory is a piece of rows and the decompressor, whatever the size of the segment.

ISA-L does it, 2.5 times as fast as zlib; libdeflate, as fast, must have the whole segment.

The decompressor of the segment read last is kept with the row it stands at, so that the next band goes on there; a band further up
starts anew.
"""

from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from omezarr_proc.model.image import Plane, Rect
from omezarr_proc.tiff.read.segments import Segments

ENCODED = 256 << 10  # bytes read at once


class _Inflate:
    """The rows of one segment from its begin on."""

    def __init__(self, source: Segments, plane: Plane, index: int) -> None:
        self.source, self.plane, self.index = source, plane, index
        page, shown = source.page(plane).tiff, source.page(plane).shown
        self.place = source.extent(plane, index)
        self.predictor = int(page.predictor)
        layout = source.image.layouts[plane.layout]
        self.shape = layout.segment_width, shown.stored_samples
        self.height = layout.segment_height
        across = -(-layout.width // layout.segment_width)
        self.last = min(self.height, layout.height - index // across * self.height)
        self.stored = shown.stored
        self.read = 0
        self.row = 0
        if self.place:
            source.ahead([(plane, *self.place)])
        self._inflate: Any = None

    def rows(self, number: int) -> NDArray[Any]:
        """The next rows [number, width, samples] as stored, predictor undone.

        Raises InputError where the data end or are corrupt; with the last row of the image the checksum is looked at.
        """
        line = self.shape[0] * self.shape[1] * self.stored.itemsize
        data = bytearray(number * line)
        done = 0
        while done < len(data):
            piece = self._more(len(data) - done)
            data[done : done + len(piece)] = piece
            done += len(piece)
        self.row += number
        if self.row == self.last:
            self._end(line)
        if self.predictor == 3:
            values = np.frombuffer(data, self.stored.newbyteorder("=")).reshape(number, *self.shape)
            return np.asarray(imagecodecs.floatpred_decode(values, axis=-2))
        values = np.frombuffer(data, self.stored).reshape(number, *self.shape)
        values = values.astype(self.stored.newbyteorder("="), copy=False)
        return np.asarray(imagecodecs.delta_decode(values, axis=-2, out=values)) if self.predictor == 2 else values

    def _end(self, line: int) -> None:
        """Go through the rows below the image to the checksum behind them."""
        left = (self.height - self.row) * line + 1
        while left > 0 and not self._inflate.eof:
            left -= len(self._more(left, may_end=True))

    def _more(self, most: int, may_end: bool = False) -> bytes:
        assert self.place is not None
        offset, count = self.place
        pending = self._inflate.unconsumed_tail if self._inflate else b""
        if not pending:
            pending = self.source.read(self.plane, offset + self.read, min(ENCODED, count - self.read))
            self.read += len(pending)
        if self._inflate is None:
            self._inflate = isal_zlib.decompressobj()
        try:
            data: bytes = self._inflate.decompress(pending, most)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub takes it for an instance
            raise self.source.error(self.plane, f"segment {self.index} is corrupt ({error}); copy the file again or repair it") from error
        used_up = self.read >= count and not self._inflate.unconsumed_tail
        if not data and (not may_end if self._inflate.eof else used_up):
            raise self.source.error(self.plane, f"segment {self.index} ends before row {self.row}; the file is cut off or corrupt")
        return data


class Streams:
    """The decompressors that are open: one for each segment across the plane, of one plane at a time."""

    def __init__(self, source: Segments) -> None:
        self._source = source
        self._plane: Plane | None = None
        self._open: dict[int, _Inflate] = {}

    def close(self) -> None:
        """Forget all decompressors."""
        self._open.clear()
        self._plane = None

    def read(self, plane: Plane, rect: Rect, piece: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """The pixels of `rect`, in pieces of rows of at most some `piece` bytes."""
        if plane != self._plane:
            self._open.clear()
            self._plane = plane
        layout = self._source.image.layouts[plane.layout]
        shown = self._source.page(plane).shown
        high, wide = layout.segment_height, layout.segment_width
        across = -(-layout.width // wide)
        lines = max(1, piece // (wide * shown.stored_samples * shown.stored.itemsize))
        for index in [i for i in self._open if i // across < rect.y0 // high]:
            del self._open[index]
        for row in range(rect.y0 // high, -(-rect.y1 // high)):
            end = min(rect.y1, row * high + high)
            for y0 in range(max(rect.y0, row * high), end, lines):
                y1 = min(y0 + lines, end)
                for column in range(rect.x0 // wide, -(-rect.x1 // wide)):
                    x0, x1 = max(rect.x0, column * wide), min(rect.x1, column * wide + wide)
                    values = self._rows(plane, row * across + column, y0 - row * high, y1 - y0, lines)
                    part = values[:, x0 - column * wide : x1 - column * wide]
                    yield y0, x0, shown.finished(part)
            if end == row * high + high:
                for index in range(row * across, (row + 1) * across):
                    self._open.pop(index, None)

    def _rows(self, plane: Plane, index: int, first: int, number: int, lines: int) -> NDArray[Any]:
        segment = self._open.get(index)
        if segment is None or segment.row > first:
            segment = self._open[index] = _Inflate(self._source, plane, index)
        if segment.place is None:
            page = self._source.page(plane).tiff
            return np.full((number, *segment.shape), page.nodata, page.dtype)
        while segment.row < first:
            segment.rows(min(lines, first - segment.row))
        return segment.rows(number)
