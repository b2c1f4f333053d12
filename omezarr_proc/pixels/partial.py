"""Sums of boxes that straddle blocks, carried until all of a row of boxes have come."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect
from omezarr_proc.model.region import ceil_div
from omezarr_proc.pixels.average import column_sums, sum_dtype
from omezarr_proc.pixels.rectangles import covered, even

# Receives (y, x, sums[samples, h, w], counts, dtype of the pixels) in pixels of the level made; counts[samples, h, w], or one of all.
EmitSums = Callable[[int, int, NDArray[Any], int | NDArray[Any], np.dtype[Any]], None]


class PartialBoxes:
    """Boxes that straddle blocks: sums per box row are carried from one row of blocks to the next until they are complete.

    A box row is emitted when it is known to be complete, or at `finish`. Boxes of which no pixel has come are somebody else's: blocks
    beside those that straddle boxes can be whole.
    """

    def __init__(self, d: int, area: Rect, samples: int, dtype: np.dtype[Any], emit: EmitSums) -> None:
        """`area`: source pixels that will come, beginning on a box; `dtype`: of the blocks; `emit` gets rows of width `area / d`."""
        self._d, self._area, self._dtype, self._emit = d, area, dtype, emit
        self._row = area.y0 // d
        self._sums = np.zeros((0, area.width, samples), sum_dtype(dtype, d * d))
        self._counts = np.zeros(self._sums.shape, np.int64) if dtype.kind == "f" else None
        self._here = np.zeros((0, ceil_div(area.width, d)), bool)

    def add(self, y: int, x: int, block: NDArray[Any]) -> None:
        """Take `block[h, w, samples]` at (`y`, `x`) of the source plane."""
        d, height = self._d, block.shape[0]
        end = ceil_div(y + height, d) - self._row
        self._reserve(end)
        columns = slice(x - self._area.x0, x - self._area.x0 + block.shape[1])
        self._here[y // d - self._row : end, columns.start // d : ceil_div(columns.stop, d)] = True
        for line, pixels in enumerate(block, y):
            into = line // d - self._row
            if self._counts is not None:
                missing = np.isnan(pixels)
                self._counts[into, columns] += ~missing
                pixels = np.where(missing, 0, pixels)
            with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
                self._sums[into, columns] += pixels

    def complete(self, y: int) -> None:
        """Emit the box rows above row `y` of the source plane: no pixel of them is still to come."""
        if y // self._d > self._row:
            self._close(y // self._d)

    def finish(self) -> None:
        """Emit what is left."""
        self._close(self._row + len(self._sums))

    def _reserve(self, rows: int) -> None:
        if rows > len(self._sums):
            _, *line = self._sums.shape
            more = rows - len(self._sums), *line
            # -0.0 + x is x, whatever its sign.
            new = np.full(more, 0 if self._counts is None else -0.0, self._sums.dtype)
            self._sums = np.concatenate((self._sums, new))
            self._here = np.concatenate((self._here, np.zeros((more[0], self._here.shape[1]), bool)))
            if self._counts is not None:
                self._counts = np.concatenate((self._counts, np.zeros(more, np.int64)))

    def _close(self, until: int) -> None:
        n = min(until - self._row, len(self._sums))
        if n > 0:
            sums = column_sums(self._sums[:n], self._d)
            counts = None if self._counts is None else column_sums(self._counts[:n], self._d)
            for y0, y1, x0, x1, count in self._rectangles(n):
                of_each = count if counts is None else counts[:, y0:y1, x0:x1]
                self._emit(self._row + y0, self._area.x0 // self._d + x0, sums[:, y0:y1, x0:x1], of_each, self._dtype)
            self._sums, self._here = self._sums[n:], self._here[n:]
            if self._counts is not None:
                self._counts = self._counts[n:]
        self._row = until

    def _rectangles(self, rows: int) -> Iterator[tuple[int, int, int, int, int]]:
        """What is there of so many box rows, as `even` has it."""
        height = self._area.y1 - self._row * self._d
        for boxes in covered(self._here[:rows]):
            yield from even(height, self._area.width, self._d, boxes)
