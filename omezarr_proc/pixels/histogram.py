"""Exact percentiles and extremes of pixels, in bounded memory, counted in any order.

The percentiles are nearest-rank: the smallest value that at least p per cent of the finite values do not exceed. They come from
histograms, which add up. Pixels of up to 16 bits need one histogram. Those of 32 bits are mapped to unsigned integers in the same order
and counted twice: `count` by the upper half of these, which tells the bins that hold the wanted ranks (`locate`), then `count_within`
those bins by the lower half.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

try:
    from omezarr_proc.pixels._kernels import count as _compiled
except ImportError:  # installed without a compiler

    def _compiled(pixels: NDArray[Any], counts: NDArray[Any], /) -> bool:
        return False


Counts = NDArray[np.int64]
Extremes = tuple[float, float]

BINS = 1 << 16
PERMILLE = (1, 999)  # the 0.1 and the 99.9 percentile
_STRIP = 1 << 18  # values counted at once: numpy's bincount makes 8 bytes of each


@dataclass(frozen=True)
class Packed:
    """A histogram without its empty bins, as it travels: 512 KB are much beside a small image.

    shape   of the whole
    bins    which of its bins, flattened, are not empty
    counts  what these hold
    """

    shape: tuple[int, ...]
    bins: NDArray[np.uint32]
    counts: Counts

    @classmethod
    def of(cls, counts: Counts) -> "Packed":
        """The same histogram."""
        bins = np.flatnonzero(counts)
        return cls(counts.shape, bins.astype(np.uint32), counts.reshape(-1)[bins])

    def __add__(self, other: "Packed") -> "Packed":
        """Both together."""
        total = self.whole()
        total.reshape(-1)[other.bins] += other.counts
        return Packed.of(total)

    def whole(self) -> Counts:
        """The histogram with all its bins."""
        total = np.zeros(self.shape, np.int64)
        total.reshape(-1)[self.bins] = self.counts
        return total


@dataclass(frozen=True)
class Place:
    """Where a value stands: the `rank`-th smallest (from 1) of those in bin `bin` of the first histogram."""

    bin: int
    rank: int


def needs_second_count(dtype: DTypeLike) -> bool:
    """Whether pixels of `dtype` have more values than one histogram has bins."""
    return np.dtype(dtype).itemsize > 2


def count(pixels: NDArray[Any], total: Counts | None = None) -> Counts:
    """The first histogram of `pixels` of any shape: `BINS` counts of finite values, by their (upper) 16 bits.

    total  where they are added, and which is returned; by default a new one
    """
    shift = 16 if needs_second_count(pixels.dtype) else 0
    if total is None:
        total = np.zeros(BINS, np.int64)
    if not shift and _compiled(np.ascontiguousarray(pixels), total):
        return total
    for keys in _keys(pixels):
        counted = np.bincount(keys >> shift)
        total[: counted.size] += counted
    return total


def locate(counts: Packed) -> tuple[Place, ...]:
    """Where the percentiles lie, by the whole first histogram: one place for each, none where nothing was counted."""
    if counts.bins.size == 0:
        return ()
    ends = np.cumsum(counts.counts)
    ranks = [-(-int(ends[-1]) * permille // 1000) for permille in PERMILLE]
    places = [int(np.searchsorted(ends, rank)) for rank in ranks]
    return tuple(Place(int(counts.bins[i]), rank - int(ends[i] - counts.counts[i])) for i, rank in zip(places, ranks, strict=True))


def count_within(pixels: NDArray[Any], places: Sequence[Place]) -> Counts:
    """The second histogram: for each place, `BINS` counts of the lower 16 bits of the values in its bin. Histograms add."""
    total = np.zeros((len(places), BINS), np.int64)
    for keys in _keys(pixels):
        upper = keys >> 16
        for row, place in zip(total, places, strict=True):
            counted = np.bincount(keys[upper == place.bin] & 0xFFFF)
            row[: counted.size] += counted
    return total


def percentiles(dtype: DTypeLike, places: Sequence[Place], within: Counts | None = None) -> Extremes | None:
    """The 0.1 and the 99.9 percentile of pixels of `dtype`, None where no value was finite.

    within  the whole second histogram, where the dtype needs one
    """
    if not places:
        return None
    keys = [place.bin for place in places]
    if needs_second_count(dtype):
        if within is None:
            raise ValueError(f"percentiles of {np.dtype(dtype)} need the second histogram")
        lower = [int(np.searchsorted(np.cumsum(row), place.rank)) for row, place in zip(within, places, strict=True)]
        keys = [key << 16 | low for key, low in zip(keys, lower, strict=True)]
    start, end = (_value(key, np.dtype(dtype)) for key in keys)
    return start, end


def extremes(pixels: NDArray[Any]) -> Extremes | None:
    """The least and the greatest finite value, None where there is none."""
    if pixels.size == 0:
        return None
    low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN goes through min and max
        finite = pixels[np.isfinite(pixels)]
        return extremes(finite)
    return low + 0.0, high + 0.0  # no negative zero


def merge_extremes(a: Extremes | None, b: Extremes | None) -> Extremes | None:
    """The extremes of the pixels of both."""
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1])


def _keys(pixels: NDArray[Any]) -> Iterator[NDArray[np.unsignedinteger]]:
    """The finite values in strips, as unsigned integers in the same order."""
    flat = pixels.reshape(-1)
    unsigned = np.dtype(f"u{pixels.dtype.itemsize}")
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    for begin in range(0, flat.size, _STRIP):
        strip = flat[begin : begin + _STRIP]
        if pixels.dtype.kind == "u":
            yield strip
        elif pixels.dtype.kind == "i":
            yield strip.view(unsigned) ^ sign
        else:  # IEEE 754: magnitudes are ordered as their bits are; those of negative numbers the other way round
            finite = strip[np.isfinite(strip)] + strip.dtype.type(0)  # makes 0 of -0
            bits = finite.view(unsigned)
            yield np.where(bits & sign, ~bits, bits | sign)


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """The pixel value that `_keys` maps to `key`."""
    sign = 1 << (8 * dtype.itemsize - 1)
    if dtype.kind == "u":
        return float(key)
    if dtype.kind == "i":
        return float(key - sign)
    bits = key ^ sign if key & sign else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(dtype))
