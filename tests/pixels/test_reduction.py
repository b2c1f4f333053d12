"""Every row of the table of reductions, and of the table of oracles that holds it: a method is added by an entry in each."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from gathering import Level
from hypothesis import given
from hypothesis import strategies as st
from methods import ORACLES, reduced

from omezarr_proc.api import Options
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.image import Rect
from omezarr_proc.pixels.reduction import REDUCTIONS, Reduction

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
FLOATS = ("float32", "float64")
every = pytest.mark.parametrize("method", REDUCTIONS)
sizes = st.integers(1, 40)


def test_settings_and_oracles_name_the_rows() -> None:
    assert get_args(get_type_hints(Settings)["downsample_method"]) == tuple(REDUCTIONS)
    assert get_args(get_type_hints(Options)["downsample_method"]) == tuple(REDUCTIONS)
    assert tuple(ORACLES) == tuple(REDUCTIONS)


def in_numpy() -> dict[str, Reduction]:
    """The table as it is where there is no compiled extension."""
    package = "omezarr_proc.pixels"
    held = {name: module for name, module in sys.modules.items() if name.startswith(f"{package}.")}
    for name in held:
        del sys.modules[name]
    sys.modules[f"{package}._kernels"] = None  # type: ignore[assignment]
    attributes = vars(sys.modules[package])
    kernels = attributes.pop("_kernels", None)
    try:
        table: dict[str, Reduction] = importlib.import_module(f"{package}.reduction").REDUCTIONS
        return table
    finally:
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(held)
        attributes.update({name.removeprefix(f"{package}."): module for name, module in held.items()})
        if kernels:
            attributes["_kernels"] = kernels


NUMPY = in_numpy()


def pixels(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Values of which many come twice, the extremes among them; of floats also NaN, infinities and zeros of both signs."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        values = rng.choice(np.array([np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.25, 3.0], kind), shape)
        return np.where(rng.random(shape) < 0.3, rng.standard_normal(shape).astype(kind), values)
    info = np.iinfo(kind)
    values = rng.choice(np.array([info.min, info.max, 0, 1, 2, 3], kind), shape)
    return np.where(rng.random(shape) < 0.7, values, rng.integers(info.min, info.max, shape, kind, endpoint=True))


def same(found: np.ndarray, wanted: np.ndarray, method: str) -> None:
    """Equal, NaN where NaN is; means of floats to their last digit, which hangs on the order of the sum."""
    if method == "mean" and wanted.dtype.kind == "f":
        np.testing.assert_allclose(found, wanted, rtol=2e-7, atol=1e-12)
    else:
        np.testing.assert_array_equal(found, wanted)


def made(reduction: Reduction, block: np.ndarray, d: int, dtype: Any = None) -> np.ndarray:
    """The level [samples, h, w] of `block[planes, h, w, samples]`."""
    out = np.empty((block.shape[3], -(-block.shape[1] // d), -(-block.shape[2] // d)), dtype or block.dtype)
    reduction.boxes(block, d, out)
    return out


def oracle(block: np.ndarray, d: int, method: str) -> np.ndarray:
    return np.asarray(reduced(np.moveaxis(block, 3, 0), (len(block), d, d), method)[:, 0])


@every
@given(
    st.sampled_from(INTEGERS + FLOATS),
    st.integers(1, 3),
    sizes,
    sizes,
    st.integers(1, 4),
    st.sampled_from((1, 2, 4, 8, 32)),
    st.integers(0, 999),
)
def test_boxes_are_what_the_oracle_says_compiled_or_not(
    method: str, dtype: str, depth: int, height: int, width: int, samples: int, d: int, seed: int
) -> None:
    block = pixels(dtype, (depth, height, width, samples), seed)
    found, plain = made(REDUCTIONS[method], block, d), made(NUMPY[method], block, d)
    assert found.tobytes() == plain.tobytes()
    same(found, oracle(block, d, method), method)


@pytest.mark.parametrize(("dtype", "becomes"), [("float32", "float32"), ("float64", "float32"), ("float64", "float64")])
@pytest.mark.parametrize("samples", [1, 3, 4])
def test_full_resolution_keeps_the_sign_of_nan_and_what_it_carries(dtype: str, becomes: str, samples: int) -> None:
    row = np.array([np.nan, -np.nan, 1.5, -0.0, np.inf], dtype)
    row[:2].view(f"u{row.itemsize}")[:] |= 1 << (40 if dtype == "float64" else 20)
    block = np.broadcast_to(row[np.newaxis, np.newaxis, :, np.newaxis], (1, 2, 5, samples)).copy()
    wanted = np.moveaxis(block[0], 2, 0).astype(becomes)
    for reduction in (REDUCTIONS["mean"], NUMPY["mean"]):
        assert made(reduction, block, 1, becomes).tobytes() == wanted.tobytes()


@every
def test_views_of_any_strides_and_byte_order_are_reduced_alike(method: str) -> None:
    block = pixels("uint16", (3, 64, 64, 4), 1)
    for view in (block[::-1], block[:, ::-1], block[:, :, ::2], block[..., 1:3], block.transpose(0, 2, 1, 3), block.astype(">u2")):
        np.testing.assert_array_equal(made(REDUCTIONS[method], view, 4, "uint16"), oracle(view.astype("uint16"), 4, method))


@every
@pytest.mark.parametrize("specials", [False, True])
def test_float64_becomes_float32_at_the_end(method: str, specials: bool) -> None:
    block = pixels("float64", (1, 30, 40, 1), 3)
    block = block if specials else np.where(np.isfinite(block), block, 0.125)
    wanted = oracle(block, 4, method).astype("float32")
    same(made(REDUCTIONS[method], block, 4, "float32"), wanted, method)
    assert made(NUMPY[method], block, 4, "float32").tobytes() == made(REDUCTIONS[method], block, 4, "float32").tobytes()


def segments(plane: np.ndarray, high: int, wide: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """`plane[h, w, samples]` in segments. As of a reader, the memory of one is used again for the next."""
    for y in range(0, plane.shape[0], high):
        for x in range(0, plane.shape[1], wide):
            block = plane[y : y + high, x : x + wide].copy()
            yield y, x, block
            block[...] = 0


@every
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("d", "high", "wide"), [(32, 48, 80), (32, 144, 144), (32, 48, 64), (64, 144, 64), (2, 7, 999), (16, 80, 48)])
def test_boxes_that_straddle_segments_are_whole(method: str, depth: int, d: int, high: int, wide: int) -> None:
    """Also beside blocks of whole boxes, and where only the last segments of a row or a column are such."""
    for height, width, samples, dtype in ((130, 200, 1, "uint16"), (97, 290, 2, "float32")):
        block = pixels(dtype, (depth, height, width, samples), d)
        level = Level((samples, -(-height // d), -(-width // d)), dtype)
        REDUCTIONS[method].gather([segments(plane, high, wide) for plane in block], d, Rect(0, height, 0, width), level)
        assert level.pixels.tobytes() == made(REDUCTIONS[method], block, d).tobytes()


@every
def test_a_part_of_a_plane_begins_on_a_box(method: str) -> None:
    block, level = pixels("uint16", (1, 128, 160, 1), 5), Level((1, 32, 40), "uint16")
    rect = Rect(32, 96, 64, 160)
    part = block[0, rect.y0 : rect.y1, rect.x0 : rect.x1]
    blocks = ((y + rect.y0, x + rect.x0, pixels) for y, x, pixels in segments(part, 7, 9))
    REDUCTIONS[method].gather([blocks], 4, rect, level)
    whole = made(REDUCTIONS[method], block, 4)
    np.testing.assert_array_equal(level.pixels[:, 8:24, 16:], whole[:, 8:24, 16:])
    assert not level.pixels[:, :8].any() and not level.pixels[:, :, :16].any()
