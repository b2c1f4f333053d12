"""Box means against tensorstore's, and floats against numpy's float64 mean."""

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.downsample import PartialBoxes, box_mean, box_nearest
from omezarr_proc.image import Rect

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
sizes = st.integers(1, 40)
factors = st.sampled_from((1, 2, 4, 8, 32))


def pixels(dtype: str, height: int, width: int, samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.standard_normal((height, width, samples)).astype(kind)
    info = np.iinfo(kind)
    # Extremes overflow narrow sums, small values meet the ties.
    choices = rng.choice(np.array([info.min, info.max, 0, 1, 2, 3], kind), (height, width, samples))
    return np.where(rng.random(choices.shape) < 0.5, choices, rng.integers(info.min, info.max, choices.shape, kind, endpoint=True))


def mean(block: np.ndarray, d: int) -> np.ndarray:
    out = np.empty((block.shape[2], -(-block.shape[0] // d), -(-block.shape[1] // d)), block.dtype)
    box_mean(block, d, out)
    return np.moveaxis(out, 0, 2)


def in_pieces(block: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray:
    """The same by PartialBoxes, with rows of blocks of random heights, each cut at a random column."""
    height, width, samples = block.shape
    out = np.zeros((-(-height // d), -(-width // d), samples), block.dtype)

    def emit(y: int, x: int, means: np.ndarray) -> None:
        out[y : y + means.shape[1], x : x + means.shape[2]] = np.moveaxis(means, 0, 2)

    boxes = PartialBoxes(d, Rect(0, height, 0, width), samples, block.dtype, emit)
    y = 0
    while y < height:
        rows = min(int(rng.integers(1, 12)), height - y)
        cut = int(rng.integers(0, width))
        for x0, x1 in ((0, cut), (cut, width)):
            if x1 > x0:
                boxes.add(y, x0, block[y : y + rows, x0:x1])
        y += rows
    boxes.finish()
    return out


@given(st.sampled_from(INTEGERS), sizes, sizes, st.integers(1, 4), factors, st.integers(0, 2**32 - 1))
def test_integers_equal_tensorstore(dtype: str, height: int, width: int, samples: int, d: int, seed: int) -> None:
    block = pixels(dtype, height, width, samples, seed)
    expected = ts.downsample(ts.array(block), [d, d, 1], "mean").read().result()
    np.testing.assert_array_equal(mean(block, d), expected)
    np.testing.assert_array_equal(in_pieces(block, d, np.random.default_rng(seed)), expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_large_blocks_are_cut_into_strips_without_seams(dtype: str) -> None:
    block = pixels(dtype, 1031, 517, 3, 5)
    np.testing.assert_array_equal(mean(block, 2), ts.downsample(ts.array(block), [2, 2, 1], "mean").read().result())


@given(st.sampled_from(("float32", "float64")), sizes, sizes, factors, st.integers(0, 2**32 - 1), st.booleans())
def test_floats_equal_float64_nanmean(dtype: str, height: int, width: int, d: int, seed: int, holes: bool) -> None:
    block = pixels(dtype, height, width, 1, seed)
    if holes:
        block[np.random.default_rng(seed + 1).random(block.shape) < 0.6] = np.nan
    expected = np.empty((-(-height // d), -(-width // d), 1), dtype)
    for y, x, _ in np.ndindex(expected.shape):
        box = block[y * d : (y + 1) * d, x * d : (x + 1) * d]
        finite = box[~np.isnan(box)].astype(np.float64)
        expected[y, x, 0] = finite.mean() if finite.size else np.nan
    np.testing.assert_allclose(mean(block, d), expected, rtol=2e-7, atol=1e-12)
    np.testing.assert_allclose(in_pieces(block, d, np.random.default_rng(seed)), expected, rtol=2e-7, atol=1e-12)


def test_infinities_propagate_and_nan_is_skipped() -> None:
    block = np.array([[np.inf, 1, np.nan, 5], [2, 3, 7, np.nan], [np.inf, -np.inf, np.nan, np.nan], [1, 1, np.nan, np.nan]], np.float32)
    expected = np.array([[np.inf, 6], [np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(mean(block[:, :, None], 2)[:, :, 0], expected)
    np.testing.assert_array_equal(in_pieces(block[:, :, None], 2, np.random.default_rng(0))[:, :, 0], expected)


def test_float64_rounds_once_and_overflows_to_infinity() -> None:
    out = np.empty((1, 1, 2), np.float32)
    box_mean(np.array([[1.0, 1.0 + 2**-30, 1e300, 1e300]] * 2)[:, :, None], 2, out)
    np.testing.assert_array_equal(out[0, 0], np.array([1.0 + 2**-31, np.inf]).astype(np.float32))


@given(sizes, sizes, factors, st.integers(0, 30), st.integers(0, 30))
def test_nearest_takes_the_first_pixel_of_each_box(height: int, width: int, d: int, y: int, x: int) -> None:
    plane = pixels("uint16", y + height, x + width, 2, 3)
    got: list[tuple[int, int, np.ndarray]] = []
    box_nearest(plane[y:, x:], y, x, d, lambda *found: got.append(found))
    expected = plane[::d, ::d][-(-y // d) :, -(-x // d) :]
    if expected.size:
        [(row, column, values)] = got
        assert (row, column) == (-(-y // d), -(-x // d))
        np.testing.assert_array_equal(np.moveaxis(values, 0, 2), expected)
    else:
        assert not got
