"""Box means against tensorstore's, and floats against numpy's float64 mean: by the compiled kernels and by numpy alone, the same bits."""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorstore as ts
from gathering import Level
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.model.image import Rect
from omezarr_proc.pixels import average as average_module
from omezarr_proc.pixels.average import box_mean, mean_of, numpy_add_box_sums, numpy_box_mean, numpy_mean_of, sum_dtype
from omezarr_proc.pixels.gather import gather_means, gather_nearest
from omezarr_proc.pixels.partial import PartialBoxes

try:
    from omezarr_proc.pixels import _kernels
except ImportError:
    _kernels = None

Average = Callable[[np.ndarray, int, np.ndarray], object]


def compiled(block: np.ndarray, d: int, out: np.ndarray) -> None:
    assert _kernels.box_mean(block, d, out)


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

    def emit(y: int, x: int, sums: np.ndarray, counts: np.ndarray, dtype: np.dtype) -> None:
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
        def view(self, row: int, column: int, height: int, width: int) -> None:
            return None

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
    assert _kernels.box_mean(block[np.newaxis], 2, out)
    np.testing.assert_array_equal(out[0], ts.downsample(ts.array(block.view(dtype)), [2, 2, 1], "mean").read().result()[..., 0])


def cut(plane: np.ndarray, d: int, rng: np.random.Generator) -> Iterator[tuple[int, int, np.ndarray]]:
    """`plane[h, w, samples]` in rows of blocks of random heights, cut at a random column: some on boxes, some not."""
    y, (height, width, _) = 0, plane.shape
    while y < height:
        rows = min(int(rng.integers(1, 3)) * d if rng.random() < 0.5 else int(rng.integers(1, 12)), height - y)
        middle = int(rng.integers(0, width)) if rng.random() < 0.5 else 0
        yield from ((y, x, plane[y : y + rows, x:end]) for x, end in ((0, middle), (middle, width)) if end > x)
        y += rows


def gathered(block: np.ndarray, d: int, seed: int) -> np.ndarray:
    _, height, width, samples = block.shape
    target, rng = Level((samples, -(-height // d), -(-width // d)), block.dtype.str), np.random.default_rng(seed)
    gather_means([cut(plane, d, rng) for plane in block], d, Rect(0, height, 0, width), target)
    return target.pixels


def averaged(block: np.ndarray, d: int, average: Average) -> np.ndarray:
    out = np.empty((block.shape[3], -(-block.shape[1] // d), -(-block.shape[2] // d)), block.dtype)
    average(block, d, out)
    return out


planes = st.integers(1, 9)


@both
@given(st.sampled_from(INTEGERS), planes, sizes, sizes, st.integers(1, 4), factors, st.integers(0, 2**32 - 1))
def test_boxes_of_several_planes_equal_tensorstore(
    average: Average, dtype: str, depth: int, height: int, width: int, samples: int, d: int, seed: int
) -> None:
    block = np.stack([pixels(dtype, height, width, samples, seed + z) for z in range(depth)])
    wanted = np.moveaxis(ts.downsample(ts.array(block), [depth, d, d, 1], "mean").read().result()[0], 2, 0)
    np.testing.assert_array_equal(averaged(block, d, average), wanted)
    with pytest.MonkeyPatch.context() as patch:
        if average is numpy_box_mean:
            patch.setattr(average_module, "_kernels", None)
        np.testing.assert_array_equal(gathered(block, d, seed), wanted)


@needs_kernels
@given(st.sampled_from(("float32", "float64")), planes, sizes, sizes, st.integers(1, 4), factors, st.integers(0, 2**32 - 1), st.booleans())
def test_floats_of_several_planes_have_the_same_bits_however_they_are_averaged(
    dtype: str, depth: int, height: int, width: int, samples: int, d: int, seed: int, specials: bool
) -> None:
    block = np.stack([floats_of_all_kinds(dtype, height, width, samples, seed + z, specials) for z in range(depth)])
    wanted = averaged(block, d, numpy_box_mean)
    assert averaged(block, d, compiled).tobytes() == wanted.tobytes()
    assert gathered(block, d, seed).tobytes() == wanted.tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(average_module, "_kernels", None)
        assert gathered(block, d, seed).tobytes() == wanted.tobytes()
    padded = np.pad(block.astype(np.float64), ((0, 0), (0, -height % d), (0, -width % d), (0, 0)), constant_values=np.nan)
    boxes = padded.reshape(depth, -(-height // d), d, -(-width // d), d, samples)
    scale = np.nanmax(np.abs(np.where(np.isinf(block), 0, block)), initial=1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        mean_in_float64 = np.nansum(boxes, axis=(0, 2, 4)) / (~np.isnan(boxes)).sum(axis=(0, 2, 4))
    np.testing.assert_allclose(np.moveaxis(wanted, 0, 2), mean_in_float64, rtol=2e-7, atol=scale * 1e-12)


@needs_kernels
@given(
    st.sampled_from((*INTEGERS, "float32", "float64")),
    st.integers(2, 9),
    sizes,
    sizes,
    st.integers(1, 4),
    factors,
    st.integers(0, 2**32 - 1),
)
def test_sums_are_added_and_rounded_alike_in_both(dtype: str, depth: int, height: int, width: int, samples: int, d: int, seed: int) -> None:
    shape = samples, -(-height // d), -(-width // d)
    kind = sum_dtype(np.dtype(dtype), depth * d * d)
    sums = np.full((2, *shape), -0.0 if kind.kind == "f" else 0, kind)
    counts = np.zeros((2, *shape), np.int32) if kind.kind == "f" else (None, None)
    for z in range(depth):
        plane = pixels(dtype, height, width, samples, seed + z)
        assert _kernels.add_sums(plane[np.newaxis], d, sums[0], counts[0])
        numpy_add_box_sums(plane, d, sums[1], counts[1])
    assert sums[0].tobytes() == sums[1].tobytes()
    if kind.kind == "f":
        np.testing.assert_array_equal(counts[0], counts[1])
        return
    out = np.empty((2, *shape), dtype)
    for n in {depth * d * d, depth * min(d, height) * min(d, width)}:
        assert _kernels.mean_of(np.maximum(sums[0], 0) // (depth * d * d) * n, n, out[0])
        numpy_mean_of(np.maximum(sums[0], 0) // (depth * d * d) * n, n, out[1])
        np.testing.assert_array_equal(out[0], out[1])


def test_planes_of_any_strides_and_byte_order_are_averaged() -> None:
    block = np.stack([pixels("uint16", 64, 64, 4, z) for z in range(4)])
    views = [block[::-1], block[::2], block[:, ::-1], block[:, :, ::2], block[..., 1:3], block.transpose(2, 1, 0, 3), block.astype(">u2")]
    for view in views:
        native = np.ascontiguousarray(view, "uint16")
        np.testing.assert_array_equal(averaged(view, 2, box_mean).astype("uint16"), averaged(native, 2, numpy_box_mean))
        np.testing.assert_array_equal(gathered(view, 2, 3), averaged(native, 2, numpy_box_mean))


@pytest.mark.parametrize("width", [200, 850])
def test_a_last_block_of_whole_boxes_beside_blocks_that_straddle_them_keeps_its_pixels(width: int) -> None:
    plane = pixels("uint16", 130, width, 1, 4)
    target = Level((1, -(-130 // 32), -(-width // 32)), "uint16")
    tiles = [(y, x, plane[y : y + 80, x : x + 80]) for y in range(0, 130, 80) for x in range(0, width, 80)]
    gather_means([tiles], 32, Rect(0, 130, 0, width), target)
    np.testing.assert_array_equal(target.pixels[0], ts.downsample(ts.array(plane[..., 0]), [32, 32], "mean").read().result())
