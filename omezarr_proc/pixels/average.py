"""Box means of pixels, rounded once.

Integers round half to even, so brightness does not drift up the pyramid (`tensorstore.downsample(..., "mean")` gives the same bits for
types up to 32 bits). Floats accumulate in float64; NaN is skipped, infinities propagate. A box at the end of an axis averages the pixels
that exist.

`_kernels` does it in C, and numpy where there is no compiled extension or no kernel for a block. Both give the same bits: floats are added
up from the top, then from the left, then from the front, whatever blocks and bands the pixels come in.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from omezarr_proc.pixels import _kernels
except ImportError:  # installed without a compiler
    _kernels = None  # type: ignore[assignment]

# Source bytes worked on at a time, so that the wider sums stay in a core's cache.
_STRIP_BYTES = 128 * 1024


def box_mean(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """Average `block[planes, h, w, samples]` into `out[samples, ceil(h/d), ceil(w/d)]`: boxes of all its planes and d x d pixels.

    Its first pixel begins a box.
    """
    if not (_kernels and _kernels.box_mean(block, d, out)):
        numpy_box_mean(block, d, out)


def numpy_box_mean(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """`box_mean` without the compiled kernels."""
    if d == 1 and len(block) == 1:
        store(np.moveaxis(block[0], 2, 0), out)
        return
    dtype = sum_dtype(block.dtype, len(block) * d * d)
    strip = max(1, _STRIP_BYTES // max(1, d * block[:, 0].nbytes))
    for r in range(0, out.shape[1], strip):
        sums, count = box_sums(block[0, r * d : (r + strip) * d], d, dtype)
        for plane in block[1:]:
            more, further = box_sums(plane[r * d : (r + strip) * d], d, dtype)
            with np.errstate(invalid="ignore"):
                sums += more
            count = count + further
        numpy_mean_of(sums, count, out[:, r : r + strip])


def add_box_sums(block: NDArray[Any], d: int, sums: NDArray[Any], counts: NDArray[Any] | None) -> None:
    """Add the sums of the d x d boxes of `block[h, w, samples]`, whose first pixel begins one, to `sums[samples, ceil(h/d), ceil(w/d)]`.

    sums    of `sum_dtype`
    counts  int32, for floats: is added the pixels that are there in each
    """
    if not (_kernels and _kernels.add_sums(block[np.newaxis], d, sums, counts)):
        numpy_add_box_sums(block, d, sums, counts)


def numpy_add_box_sums(block: NDArray[Any], d: int, sums: NDArray[Any], counts: NDArray[Any] | None) -> None:
    """`add_box_sums` without the compiled kernels."""
    strip = max(1, _STRIP_BYTES // max(1, d * block[0].nbytes))
    for r in range(0, sums.shape[1], strip):
        more, count = box_sums(block[r * d : (r + strip) * d], d, sums.dtype)
        with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
            sums[:, r : r + strip] += more
        if counts is not None:
            counts[:, r : r + strip] += count


def box_sums(block: NDArray[Any], d: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], int | NDArray[Any]]:
    """`block[h, w, samples]` -> sums[samples, ceil(h/d), ceil(w/d)] of `dtype`, and how many pixels each is of (one number: all)."""
    sums = _added(block, d, dtype)
    if dtype.kind == "f" and np.isnan(sums).any():
        missing = np.isnan(block)
        return _added(np.where(missing, 0, block), d, dtype), _added(~missing, d, np.dtype(np.int64))
    if block.shape[0] % d or block.shape[1] % d:
        return sums, np.multiply.outer(extents(block.shape[0], d), extents(block.shape[1], d))
    return sums, d * d


def _added(block: NDArray[Any], d: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
        rows = block[::d].astype(dtype)
        for i in range(1, d):
            more = block[i::d]
            rows[: len(more)] += more
        return column_sums(rows, d)


def column_sums(rows: NDArray[Any], d: int) -> NDArray[Any]:
    """`rows[h, w, samples]` -> sums[samples, h, ceil(w/d)]."""
    rows = np.moveaxis(rows, 2, 0)
    with np.errstate(invalid="ignore"):
        sums = rows[:, :, ::d].copy()
        for i in range(1, d):
            more = rows[:, :, i::d]
            sums[:, :, : more.shape[2]] += more
    return sums


def extents(length: int, d: int) -> NDArray[np.int64]:
    """Pixels in each box along an axis of `length` pixels."""
    return np.minimum(length - np.arange(0, length, d), d)


def sum_dtype(dtype: np.dtype[Any], pixels: int) -> np.dtype[Any]:
    """The narrowest type that holds the sum of so many `pixels` of `dtype`, since narrow sums are the quick ones."""
    if dtype.kind == "f":
        return np.dtype(np.float64)
    bits = dtype.itemsize * 8 + (pixels - 1).bit_length()
    size = next(s for s in (2, 4, 8) if bits <= s * 8 or s == 8)
    return np.dtype(f"{dtype.kind}{size}")


def mean_of(sums: NDArray[Any], count: int | NDArray[Any], out: NDArray[Any]) -> None:
    """`sums[samples, h, w] / count` into `out`: floats by division, integers half to even."""
    if not (_kernels and isinstance(count, int) and _kernels.mean_of(sums, count, out)):
        numpy_mean_of(sums, count, out)


def numpy_mean_of(sums: NDArray[Any], count: int | NDArray[Any], out: NDArray[Any]) -> None:
    """`mean_of` without the compiled kernels."""
    if sums.dtype.kind == "f":
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: a box of nothing but NaN stays NaN
            store(sums / count, out)
    elif isinstance(count, int) and count > 1 and count & (count - 1) == 0:
        # count is 2**m: (s + count/2 - 1 + lowest bit of the quotient) >> m is round half to even, also for negative sums.
        shift = sums.dtype.type(count.bit_length() - 1)
        odd = (sums >> shift) & sums.dtype.type(1)
        odd += sums
        odd += sums.dtype.type(count // 2 - 1)
        odd >>= shift
        store(odd, out)
    else:
        wide = sums.astype(np.int64 if sums.dtype.kind == "i" else np.uint64)
        quotient, rest = np.divmod(wide, np.asarray(count, wide.dtype))
        twice = rest * wide.dtype.type(2)
        quotient += (twice > count) | ((twice == count) & (quotient % 2 == 1))
        store(quotient, out)


def store(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy into `out` in its type."""
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite, as the stored type has it
        np.copyto(out, values, casting="unsafe")
