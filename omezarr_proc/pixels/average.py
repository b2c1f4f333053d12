"""Box means of pixel blocks, rounded once, and nearest neighbours.

Integers round half to even, so brightness does not drift up the pyramid (`tensorstore.downsample(..., "mean")` gives the same bits for
types up to 32 bits). Floats accumulate in float64; NaN is skipped, infinities propagate. A box at the right or bottom edge of the plane
averages the pixels that exist.

`_kernels` does it in C, and numpy where there is no compiled extension or no kernel for a block. Both give the same bits: floats are added
up from the top and then from the left, whatever blocks and bands the pixels come in.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect

try:
    from omezarr_proc.pixels._kernels import box_mean as _compiled
except ImportError:  # installed without a compiler

    def _compiled(block: NDArray[Any], d: int, out: NDArray[Any], /) -> bool:
        return False


# Source bytes worked on at a time, so that the wider sums stay in a core's cache.
_STRIP_BYTES = 128 * 1024

# Receives (y, x, means[samples, h, w]) in pixels of the level made.
Emit = Callable[[int, int, NDArray[Any]], None]


def box_mean(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """Average `block[h, w, samples]`, whose first pixel begins a box, into `out[samples, ceil(h/d), ceil(w/d)]`."""
    if not _compiled(block, d, out):
        numpy_box_mean(block, d, out)


def numpy_box_mean(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """`box_mean` without the compiled kernels."""
    if d == 1:
        _store(np.moveaxis(block, 2, 0), out)
        return
    strip = max(1, _STRIP_BYTES // max(1, d * block[0].nbytes))
    for r in range(0, out.shape[1], strip):
        _box_mean(block[r * d : (r + strip) * d], d, out[:, r : r + strip])


def _box_mean(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    sums = _box_sums(block, d, _sum_dtype(block.dtype, d))
    count: int | NDArray[Any] = d * d
    if sums.dtype.kind == "f" and np.isnan(sums).any():
        missing = np.isnan(block)
        sums = _box_sums(np.where(missing, 0, block), d, sums.dtype)
        count = _box_sums(~missing, d, np.dtype(np.int64))
    elif block.shape[0] % d or block.shape[1] % d:
        count = np.multiply.outer(_extents(block.shape[0], d), _extents(block.shape[1], d))
    _round(sums, count, out)


def box_nearest(block: NDArray[Any], y: int, x: int, d: int, emit: Emit) -> None:
    """Take the first pixel of each box of `block[h, w, samples]` that lies at (`y`, `x`) of the plane (for label images)."""
    top, left = -y % d, -x % d
    if top < block.shape[0] and left < block.shape[1]:
        emit((y + top) // d, (x + left) // d, np.moveaxis(block[top::d, left::d], 2, 0))


class PartialBoxes:
    """Boxes that straddle blocks: sums per box row are carried from one row of blocks to the next and rounded when complete.

    Blocks come in rows from the top; a box row is emitted when a block below it arrives, or at `finish`. Boxes of which no pixel has come
    are somebody else's: blocks beside those that straddle boxes can be whole.
    """

    def __init__(self, d: int, area: Rect, samples: int, dtype: np.dtype[Any], emit: Emit) -> None:
        """`area`: source pixels that will come, beginning on a box; `dtype`: of the blocks; `emit` gets rows of width `area / d`."""
        self._d, self._area, self._emit = d, area, emit
        self._row = area.y0 // d
        self._sums = np.zeros((0, area.width, samples), _sum_dtype(dtype, d))
        self._counts = np.zeros(self._sums.shape, np.int64) if dtype.kind == "f" else None
        self._here = np.zeros((0, -(-area.width // d)), bool)

    def add(self, y: int, x: int, block: NDArray[Any]) -> None:
        """Take `block[h, w, samples]` at (`y`, `x`) of the source plane."""
        d, height = self._d, block.shape[0]
        if y // d > self._row:
            self._close(y // d)
        self._reserve(-(-(y + height) // d) - self._row)
        columns = slice(x - self._area.x0, x - self._area.x0 + block.shape[1])
        self._here[y // d - self._row : -(-(y + height) // d) - self._row, columns.start // d : -(-columns.stop // d)] = True
        for line, pixels in enumerate(block, y):
            into = line // d - self._row
            if self._counts is not None:
                missing = np.isnan(pixels)
                self._counts[into, columns] += ~missing
                pixels = np.where(missing, 0, pixels)
            with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
                self._sums[into, columns] += pixels

    def finish(self) -> None:
        """Emit what is left."""
        self._close(self._row + len(self._sums))

    def _reserve(self, rows: int) -> None:
        if rows > len(self._sums):
            more = ((0, rows - len(self._sums)), (0, 0), (0, 0))
            # -0.0 + x is x, whatever its sign.
            self._sums = np.pad(self._sums, more, constant_values=0 if self._counts is None else -0.0)
            self._here = np.pad(self._here, more[:2])
            if self._counts is not None:
                self._counts = np.pad(self._counts, more)

    def _close(self, until: int) -> None:
        n = min(until - self._row, len(self._sums))
        if n > 0:
            sums = _column_sums(self._sums[:n], self._d)
            if self._counts is None:
                counts = np.multiply.outer(_extents(self._area.y1 - self._row * self._d, self._d)[:n], _extents(self._area.width, self._d))
            else:
                counts = _column_sums(self._counts[:n], self._d)
            means = np.empty(sums.shape, np.float64 if self._counts is not None else _mean_dtype(self._sums.dtype))
            _round(sums, counts, means)
            for y, x0, x1 in _runs(self._here[:n]):
                self._emit(self._row + y.start, self._area.x0 // self._d + x0, means[:, y, x0:x1])
            self._sums, self._here = self._sums[n:], self._here[n:]
            if self._counts is not None:
                self._counts = self._counts[n:]
        self._row = until


def _runs(here: NDArray[np.bool_]) -> Iterator[tuple[slice, int, int]]:
    """(rows, first column, end) of rectangles that cover what is true."""
    if here.all():
        yield slice(0, here.shape[0]), 0, here.shape[1]
        return
    for y, row in enumerate(here):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False)).tolist()
        yield from ((slice(y, y + 1), x0, x1) for x0, x1 in zip(edges[::2], edges[1::2], strict=True))


def _mean_dtype(sums: np.dtype[Any]) -> type[np.generic]:
    return np.int64 if sums.kind == "i" else np.uint64


def _extents(length: int, d: int) -> NDArray[np.int64]:
    """Pixels in each box along an axis of `length` pixels."""
    return np.minimum(length - np.arange(0, length, d), d)


def _sum_dtype(dtype: np.dtype[Any], d: int) -> np.dtype[Any]:
    """The narrowest type that holds the sum of d x d pixels of `dtype`, since narrow sums are the quick ones."""
    if dtype.kind == "f":
        return np.dtype(np.float64)
    bits = dtype.itemsize * 8 + 2 * (d.bit_length() - 1)
    size = next(s for s in (2, 4, 8) if bits <= s * 8 or s == 8)
    return np.dtype(f"{dtype.kind}{size}")


def _box_sums(block: NDArray[Any], d: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """`block[h, w, samples]` -> sums[samples, ceil(h/d), ceil(w/d)] of `dtype`."""
    with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
        rows = block[::d].astype(dtype)
        for i in range(1, d):
            more = block[i::d]
            rows[: len(more)] += more
        return _column_sums(rows, d)


def _column_sums(rows: NDArray[Any], d: int) -> NDArray[Any]:
    """`rows[h, w, samples]` -> sums[samples, h, ceil(w/d)]."""
    rows = np.moveaxis(rows, 2, 0)
    with np.errstate(invalid="ignore"):
        sums = rows[:, :, ::d].copy()
        for i in range(1, d):
            more = rows[:, :, i::d]
            sums[:, :, : more.shape[2]] += more
    return sums


def _round(sums: NDArray[Any], count: int | NDArray[Any], out: NDArray[Any]) -> None:
    """`sums / count` into `out`: floats by division, integers half to even."""
    if sums.dtype.kind == "f":
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: a box of nothing but NaN stays NaN
            _store(sums / count, out)
    elif isinstance(count, int):
        # count is 4**m: (s + count/2 - 1 + lowest bit of the quotient) >> 2m is round half to even, also for negative sums.
        shift = sums.dtype.type(count.bit_length() - 1)
        odd = (sums >> shift) & sums.dtype.type(1)
        odd += sums
        odd += sums.dtype.type(count // 2 - 1)
        odd >>= shift
        _store(odd, out)
    else:
        wide = sums.astype(_mean_dtype(sums.dtype))
        quotient, rest = np.divmod(wide, count.astype(wide.dtype))
        twice = rest * wide.dtype.type(2)
        quotient += (twice > count) | ((twice == count) & (quotient % 2 == 1))
        _store(quotient, out)


def _store(values: NDArray[Any], out: NDArray[Any]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite, as the stored type has it
        np.copyto(out, values, casting="unsafe")
