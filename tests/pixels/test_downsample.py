"""Box means against tensorstore's, and floats against numpy's float64 mean: by the compiled kernels and by numpy alone, the same bits."""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.model.image import Rect
from omezarr_proc.pixels.average import box_mean, mean_of, numpy_box_mean
from omezarr_proc.pixels.gather import PartialBoxes, gather_nearest

try:
    from omezarr_proc.pixels import _kernels
except ImportError:
    _kernels = None

Average = Callable[[np.ndarray, int, np.ndarray], object]


def compiled(block: np.ndarray, d: int, out: np.ndarray) -> None:
    assert _kernels.box_mean(block[0], d, out)


needs_kernels = pytest.mark.skipif(_kernels is None, reason="installed without a compiler")
both = pytest.mark.parametrize("average", [numpy_box_mean, pytest.param(compiled, marks=needs_kernels)])
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
sizes = st.integers(1, 40)
boxes = st.sampled_from((2, 4, 8, 32))
factors = st.just(1) | boxes


def pixels(dtype: str, height: int, width: int, samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.standard_normal((height, width, samples)).astype(kind)
    info = np.iinfo(kind)
    # Extremes overflow narrow sums, small values meet the ties.
    choices = rng.choice(np.array([info.min, info.max, 0, 1, 2, 3], kind), (height, width, samples))
    return np.where(rng.random(choices.shape) < 0.5, choices, rng.integers(info.min, info.max, choices.shape, kind, endpoint=True))


def mean(block: np.ndarray, d: int, average: Average = box_mean) -> np.ndarray:
    out = np.empty((block.shape[2], -(-block.shape[0] // d), -(-block.shape[1] // d)), block.dtype)
    average(block[np.newaxis], d, out)
    return np.moveaxis(out, 0, 2)


def in_pieces(block: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray:
    """The same by PartialBoxes, with rows of blocks of random heights, each cut at a random column."""
    height, width, samples = block.shape
    out = np.zeros((-(-height // d), -(-width // d), samples), block.dtype)

    def emit(y: int, x: int, sums: np.ndarray, counts: np.ndarray) -> None:
        mean_of(sums, counts, np.moveaxis(out, 2, 0)[:, y : y + sums.shape[1], x : x + sums.shape[2]])

    boxes = PartialBoxes(d, Rect(0, height, 0, width), samples, block.dtype, emit)
    y = 0
    while y < height:
        rows = min(int(rng.integers(1, 12)), height - y)
        cut = int(rng.integers(0, width))
        boxes.complete(y)
        for x0, x1 in ((0, cut), (cut, width)):
            if x1 > x0:
                boxes.add(y, x0, block[y : y + rows, x0:x1])
        y += rows
    boxes.finish()
    return out


@both
@given(st.sampled_from(INTEGERS), sizes, sizes, st.integers(1, 4), factors, st.integers(0, 2**32 - 1))
def test_integers_equal_tensorstore(average: Average, dtype: str, height: int, width: int, samples: int, d: int, seed: int) -> None:
    block = pixels(dtype, height, width, samples, seed)
    expected = ts.downsample(ts.array(block), [d, d, 1], "mean").read().result()
    np.testing.assert_array_equal(mean(block, d, average), expected)
    np.testing.assert_array_equal(in_pieces(block, d, np.random.default_rng(seed)), expected)


@both
@pytest.mark.parametrize("dtype", INTEGERS)
def test_large_blocks_are_cut_into_strips_without_seams(dtype: str, average: Average) -> None:
    block = pixels(dtype, 1031, 517, 3, 5)
    np.testing.assert_array_equal(mean(block, 2, average), ts.downsample(ts.array(block), [2, 2, 1], "mean").read().result())


@both
@given(st.sampled_from(("float32", "float64")), sizes, sizes, factors, st.integers(0, 2**32 - 1), st.booleans())
def test_floats_equal_float64_nanmean(average: Average, dtype: str, height: int, width: int, d: int, seed: int, holes: bool) -> None:
    block = pixels(dtype, height, width, 1, seed)
    if holes:
        block[np.random.default_rng(seed + 1).random(block.shape) < 0.6] = np.nan
    expected = np.empty((-(-height // d), -(-width // d), 1), dtype)
    for y, x, _ in np.ndindex(expected.shape):
        box = block[y * d : (y + 1) * d, x * d : (x + 1) * d]
        finite = box[~np.isnan(box)].astype(np.float64)
        expected[y, x, 0] = finite.mean() if finite.size else np.nan
    np.testing.assert_allclose(mean(block, d, average), expected, rtol=2e-7, atol=1e-12)
    np.testing.assert_allclose(in_pieces(block, d, np.random.default_rng(seed)), expected, rtol=2e-7, atol=1e-12)


@both
def test_infinities_propagate_and_nan_is_skipped(average: Average) -> None:
    block = np.array([[np.inf, 1, np.nan, 5], [2, 3, 7, np.nan], [np.inf, -np.inf, np.nan, np.nan], [1, 1, np.nan, np.nan]], np.float32)
    expected = np.array([[np.inf, 6], [np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(mean(block[:, :, None], 2, average)[:, :, 0], expected)
    np.testing.assert_array_equal(in_pieces(block[:, :, None], 2, np.random.default_rng(0))[:, :, 0], expected)


@both
def test_float64_rounds_once_and_overflows_to_infinity(average: Average) -> None:
    out = np.empty((1, 1, 2), np.float32)
    average(np.array([[[1.0, 1.0 + 2**-30, 1e300, 1e300]] * 2])[..., None], 2, out)
    np.testing.assert_array_equal(out[0, 0], np.array([1.0 + 2**-31, np.inf]).astype(np.float32))


@given(sizes, sizes, factors, st.integers(0, 30), st.integers(0, 30))
def test_nearest_takes_the_first_pixel_of_each_box(height: int, width: int, d: int, y: int, x: int) -> None:
    plane = pixels("uint16", y + height, x + width, 2, 3)
    expected = plane[::d, ::d][-(-y // d) :, -(-x // d) :]
    found = np.zeros_like(expected)

    class Target:
        def views(self, row: int, column: int, height: int, width: int) -> Iterator[tuple[slice, slice, np.ndarray]]:
            assert (row, column, height, width) == (-(-y // d), -(-x // d), *expected.shape[:2])
            yield slice(0, height), slice(0, width), np.moveaxis(found, 2, 0)

    gather_nearest([[(y, x, plane[y:, x:])]], d, Rect(0, y + height, 0, x + width), Target())
    np.testing.assert_array_equal(found, expected)


def floats_of_all_kinds(dtype: str, height: int, width: int, samples: int, seed: int, specials: bool) -> np.ndarray:
    """Magnitudes so far apart that sums depend on their order, and if wished NaN, infinities, zeros of both signs."""
    rng = np.random.default_rng(seed)
    block = (rng.standard_normal((height, width, samples)) * 10.0 ** rng.integers(-18, 18, (height, width, samples))).astype(dtype)
    if specials:
        chosen = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype), block.shape)
        block = np.where(rng.random(block.shape) < 0.7, chosen, block)
    return block


@needs_kernels
@given(st.sampled_from(("float32", "float64")), sizes, sizes, st.integers(1, 4), boxes, st.integers(0, 2**32 - 1), st.booleans())
def test_floats_have_the_same_bits_however_they_are_averaged(
    dtype: str, height: int, width: int, samples: int, d: int, seed: int, specials: bool
) -> None:
    block = floats_of_all_kinds(dtype, height, width, samples, seed, specials)
    expected = np.ascontiguousarray(mean(block, d, numpy_box_mean))
    for found in (mean(block, d, compiled), in_pieces(block, d, np.random.default_rng(seed))):
        assert np.ascontiguousarray(found).tobytes() == expected.tobytes()


@needs_kernels
@pytest.mark.parametrize("d", [256, 1024])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_large_boxes_of_extremes_do_not_overflow(dtype: str, d: int) -> None:
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        block = np.full((d + 1, d + 3, 1), value, dtype)
        np.testing.assert_array_equal(mean(block, d, compiled), value)
        np.testing.assert_array_equal(mean(block, d, numpy_box_mean), value)


def test_blocks_of_any_strides_and_byte_order_are_averaged() -> None:
    plane = pixels("uint16", 64, 64, 4, 1)
    shifted = np.frombuffer(b"x" + plane.tobytes(), np.uint8)[1:].view(np.uint16).reshape(plane.shape)
    views = [plane[::-1], plane[:, ::2], plane[:, :, 1:3], plane.transpose(1, 0, 2), np.asfortranarray(plane), plane.astype(">u2"), shifted]
    for view in views:
        native = np.ascontiguousarray(view, "uint16")
        np.testing.assert_array_equal(mean(view, 2).astype("uint16"), mean(native, 2, numpy_box_mean))
    into = np.zeros((4, 32, 64), "uint16")
    box_mean(plane[np.newaxis], 2, into[:, :, ::2])
    np.testing.assert_array_equal(np.moveaxis(into[:, :, ::2], 0, 2), mean(plane, 2))


@needs_kernels
@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_stated_byte_order_that_is_the_native_one_takes_the_kernels(dtype: str) -> None:
    named = np.dtype(dtype).newbyteorder("<" if sys.byteorder == "little" else ">")
    block, out = pixels(dtype, 40, 50, 1, 7).astype(dtype).view(named), np.empty((1, 20, 25), dtype)
    assert _kernels.box_mean(block, 2, out)
    np.testing.assert_array_equal(out[0], ts.downsample(ts.array(block.view(dtype)), [2, 2, 1], "mean").read().result()[..., 0])
