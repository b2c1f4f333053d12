"""Pixels of boxes that straddle blocks, kept until all of a row of boxes have come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect
from omezarr_proc.model.region import ceil_div
from omezarr_proc.pixels.rectangles import covered


@dataclass(frozen=True)
class _Row:
    """A row of boxes: `pixels[d, width, samples]`, and of which boxes there are any."""

    pixels: NDArray[Any]
    here: NDArray[np.bool_]


class KeptBoxes:
    """Rows of boxes of a plane, each as high as a box and as wide as the area.

    A row is emitted when it is known to be complete, or at `finish`. Boxes of which no pixel has come are somebody else's: blocks beside
    those that straddle boxes can be whole.
    """

    def __init__(self, d: int, area: Rect, emit: Callable[[int, int, NDArray[Any]], None]) -> None:
        """`area`: source pixels that will come, beginning on a box; `emit` gets (y, x) in the level and pixels[h, w, samples] of boxes."""
        self._d, self._area, self._emit = d, area, emit
        self._rows: dict[int, _Row] = {}

    def add(self, y: int, x: int, block: NDArray[Any]) -> None:
        """Take `block[h, w, samples]` at (`y`, `x`) of the source plane."""
        d, bottom = self._d, y + block.shape[0]
        columns = slice(x - self._area.x0, x - self._area.x0 + block.shape[1])
        for number in range(y // d, ceil_div(bottom, d)):
            first, end = max(y, number * d), min(bottom, (number + 1) * d)
            row = self._rows.get(number)
            if row is None:
                pixels = np.empty((d, self._area.width, block.shape[2]), block.dtype)
                row = self._rows[number] = _Row(pixels, np.zeros(ceil_div(self._area.width, d), bool))
            row.pixels[first - number * d : end - number * d, columns] = block[first - y : end - y]
            row.here[columns.start // d : ceil_div(columns.stop, d)] = True

    def complete(self, y: int) -> None:
        """Emit the rows of boxes above row `y` of the source plane: no pixel of them is still to come."""
        for number in sorted(number for number in self._rows if number < y // self._d):
            self._close(number)

    def finish(self) -> None:
        """Emit what is left."""
        for number in sorted(self._rows):
            self._close(number)

    def _close(self, number: int) -> None:
        d, row = self._d, self._rows.pop(number)
        height = min(d, self._area.y1 - number * d)
        for _, _, x0, x1 in covered(row.here[np.newaxis]):
            self._emit(number, self._area.x0 // d + x0, row.pixels[:height, x0 * d : x1 * d])
