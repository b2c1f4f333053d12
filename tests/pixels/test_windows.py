"""Percentiles and extremes against numpy on the whole pixels, however they are cut into chunks."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pyramids import picture, pyramid

from omezarr_proc.ngff.windows import SAMPLED_PIXELS, Window, sampled_planes, window, window_level
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.histogram import (
    BINS,
    Packed,
    count,
    count_within,
    extremes,
    locate,
    merge_extremes,
    needs_second_count,
    percentiles,
)

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")
Pixels = NDArray[Any]


def chunked(pixels: Pixels, cuts: Sequence[int]) -> tuple[float, float] | None:
    """The percentiles as workers make them: each chunk counted alone, histograms packed and added up."""
    chunks = np.split(pixels, sorted(c % (pixels.size + 1) for c in cuts))
    total = sum((Packed.of(count(chunk)) for chunk in chunks), Packed.of(np.zeros(BINS, np.int64)))
    assert np.array_equal(total.whole(), sum((count(chunk) for chunk in chunks), np.zeros(BINS, np.int64)))
    places = locate(total)
    if not needs_second_count(pixels.dtype):
        return percentiles(pixels.dtype, places)
    within = sum((count_within(chunk, places) for chunk in chunks), np.zeros((len(places), BINS), np.int64))
    return percentiles(pixels.dtype, places, within)


def nearest_rank(pixels: Pixels, percent: Fraction) -> float:
    """The definition: the smallest value with at least `percent` of all values at or below it."""
    ordered = np.sort(pixels[np.isfinite(pixels)])
    return float(next(v for i, v in enumerate(ordered, 1) if Fraction(i, ordered.size) >= percent / 100))


def arrays(dtype: str, least: int = 1) -> Any:
    elements = st.floats(width=32, allow_nan=True, allow_infinity=True) if dtype == "float32" else None
    return hnp.arrays(dtype, st.integers(least, 60), elements=elements)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_percentiles_are_nearest_rank(dtype: str, data: Any) -> None:
    pixels = data.draw(arrays(dtype))
    pixels = np.repeat(pixels, data.draw(st.integers(1, 50)))
    made = chunked(pixels, data.draw(st.lists(st.integers(0, 4000), max_size=4)))
    if not np.isfinite(pixels).any():
        assert made is None
        return
    expected = (nearest_rank(pixels, Fraction(1, 10)), nearest_rank(pixels, Fraction(999, 10)))
    assert made == expected
    assert not any(math.copysign(1, v) < 0 for v in made if v == 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 999, 1001, 12_345, 600_001])
def test_percentiles_are_those_of_numpy(dtype: str, size: int) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(0, 1e3, size) if dtype == "float32" else rng.normal(0, np.iinfo(dtype).max / 4, size)
    pixels = (np.abs(values) if dtype.startswith("u") else values).astype("int64" if dtype != "float32" else dtype)
    if dtype != "float32":
        pixels = np.clip(pixels, np.iinfo(dtype).min, np.iinfo(dtype).max)
    pixels = pixels.astype(dtype)
    expected = tuple(float(v) for v in np.percentile(pixels, [0.1, 99.9], method="inverted_cdf"))
    assert chunked(pixels, [17, size // 2]) == expected


def test_ranks_are_exact_where_floats_are_not() -> None:
    pixels = np.arange(1000, dtype="uint16")
    assert chunked(pixels, []) == (0.0, 998.0)
    assert chunked(np.arange(2000, dtype="uint16"), []) == (1.0, 1997.0)


def test_float_order_over_the_whole_range() -> None:
    specials = [-np.inf, -3.4028235e38, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, 3.4028235e38, np.inf, np.nan]
    pixels = np.array(specials, "float32")
    assert chunked(pixels, [3]) == (float(np.float32(-3.4028235e38)), float(np.float32(3.4028235e38)))


def test_the_second_histogram_is_asked_for() -> None:
    with pytest.raises(ValueError, match="second histogram"):
        percentiles("float32", locate(Packed.of(count(np.ones(3, "float32")))))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=50)
def test_extremes_are_finite_and_merge(dtype: str, data: Any) -> None:
    a, b = data.draw(arrays(dtype, 0)), data.draw(arrays(dtype, 0))
    both = np.concatenate([a, b])
    finite = both[np.isfinite(both)]
    made = merge_extremes(extremes(a), extremes(b))
    assert made == ((float(finite.min()), float(finite.max())) if finite.size else None)


def test_merge_keeps_zero_extremes() -> None:
    assert merge_extremes((0.0, 0.0), None) == (0.0, 0.0)
    assert merge_extremes(None, (0.0, 0.0)) == (0.0, 0.0)
    assert merge_extremes(None, None) is None


def test_window() -> None:
    assert window((1.0, 90.0), (2.0, 80.0)) == Window(1.0, 90.0, 2.0, 80.0)
    assert window((7.0, 7.0), (7.0, 7.0)) == Window(7.0, 7.0, 7.0, 8.0)
    assert window((0.0, 90.0), (0.0, 0.0)) == Window(0.0, 90.0, 0.0, 1.0)
    assert window(None, None) == Window(0.0, 1.0, 0.0, 1.0)
    assert window((3.0, 9.0), None) == Window(3.0, 9.0, 3.0, 9.0)  # an infinity in each box of the level: nothing finite left there


@pytest.mark.parametrize("value", [-1e30, 1e30, float(np.finfo("float32").max), 4294967295.0])
def test_a_constant_channel_has_a_window(value: float) -> None:
    made = window((value, value), (value, value))
    assert made.start < made.end < math.inf


def test_window_level_is_the_first_of_four_megapixels() -> None:
    levels = pyramid(picture(8192, 8192), most=5).levels
    assert window_level(levels) == 3
    assert window_level(pyramid(picture(2000, 2000), most=1).levels) == 0
    assert window_level(levels[:2]) == 1


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 2500), st.integers(1, 2500))
def test_sampled_planes_are_an_even_choice_within_the_bound(size_t: int, size_z: int, height: int, width: int) -> None:
    planes = sampled_planes(size_t, size_z, height, width)
    flat = [t * size_z + z for t, z in planes]
    assert planes and flat == sorted(set(flat)) and 0 <= flat[0] <= flat[-1] < size_t * size_z
    steps = set(np.diff(flat).tolist())
    assert len(steps) <= 1
    assert len(planes) == 1 or (len(planes) - 1) * height * width <= SAMPLED_PIXELS
    if size_t * size_z * height * width <= SAMPLED_PIXELS:
        assert flat == list(range(size_t * size_z))


def test_sampled_planes_see_every_z_of_a_time_series() -> None:
    planes = sampled_planes(64, 8, 1000, 1000)
    assert {z for _, z in planes} == set(range(8))
    assert sampled_planes(1, 60, 2000, 2000) == ((0, 15), (0, 45))


@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_counting_without_the_compiled_kernel_is_the_same(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    info = np.iinfo(dtype)
    pixels = np.random.default_rng(1).integers(info.min, info.max, (70, 90), dtype, endpoint=True)[:, 3:]
    begun = np.arange(BINS)
    found = count(pixels, begun.copy())
    monkeypatch.setattr(histogram, "_compiled", lambda pixels, counts: False)
    np.testing.assert_array_equal(found, count(pixels) + begun)
    np.testing.assert_array_equal(found, count(pixels, begun.copy()))
