"""Bands of volumes whose levels halve z too, against tensorstore: however they are cut into loads and writes."""

import os
import random
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import ORACLES, Oracle, reduced
from pyramids import volume

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.pixels.reduction import REDUCTIONS, Reduction
from omezarr_proc.plan.passes import Pass, at, bands, first_passes, next_pass, slot_levels
from omezarr_proc.store.chunks import ChunkStore, read_chunks
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.objects import InMemory
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import AtOnce, Ticket
from omezarr_proc.work.tasks import Job, Load, Spool, Write

TICKET = Ticket(lambda error: None)
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rows": ("rows", {"rowsperstrip": 1000}),
    "strips": ("segment", {"rowsperstrip": 7, "compression": "zlib"}),
    "tiles": ("segment", {"tile": (48, 80), "compression": "zlib"}),
    "stream": ("stream", {"rowsperstrip": 1000, "compression": "zlib"}),
    "spool": ("spool", {"rowsperstrip": 1000, "compression": "zlib"}),
}


def write(path: Path, pixels: np.ndarray, layout: str) -> Image:
    """`pixels[z, c, y, x]`."""
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack", **LAYOUTS[layout][1])
    (image,) = open_images(str(path))
    return image


def passes(image: Image, pyramid: Pyramid, access: str, last: int) -> list[Pass]:
    """From the TIFF to level `last`, then of a level each, in bands as small as they can be."""
    found = [[first.pass_ for first in first_passes(image, pyramid, (access,)) if first.pass_.last == last][-1]]
    while found[-1].last < len(pyramid.levels) - 1:
        found.append(next_pass(pyramid, found[-1].last, 0))
    return found


def make(bench: Bench, pass_: Pass, order: random.Random) -> None:
    """All bands, each cut into loads of some depths and writes of whole boxes, in any order."""
    pyramid = bench.job.store.pyramid
    for band in bands(pass_, pyramid):
        t, c, _, y, x = band.stop
        loads = list(band.cut((t, c, order.randint(1, 9), y, x)))
        for part in order.sample(loads, len(loads)):
            bench.do(Load(pass_, 0, band, part), TICKET)
        for step in pass_.steps:
            level = pass_.first + step
            deep = 1 if level == pass_.last else pyramid.deep(level, level + 1)
            chunks = at(pyramid, pass_, band, step).divided(pyramid.levels[level].chunk)
            writes = list(chunks.cut((9, 9, deep, 9, 9)))
            for part in order.sample(writes, len(writes)):
                bench.do(Write(pass_, 0, band, step, part), TICKET)


def made(image: Image, pyramid: Pyramid, access: str, method: str, last: int, seed: int | None) -> list[np.ndarray]:
    """Each level [z, c, y, x]; `seed` None: whole bands one after another."""
    store = ChunkStore(InMemory(), pyramid, codec_for(pyramid.dtype, "lz4", 1))
    slot = bytearray()
    with tempfile.TemporaryFile() as spool:
        bench = Bench(Job(image, store, method, (access,)), lambda end: slot, AtOnce(), os.dup(spool.fileno()), print)
        with closing(bench):
            for pass_ in passes(image, pyramid, access, last):
                slot = bytearray(b"x" * slot_levels(pass_, pyramid)[1])
                if access == "spool" and pass_.source is None:
                    for ground, on_it in groupby(bands(pass_, pyramid), lambda band: band.along(3, 0, 1).along(4, 0, 1)):
                        bench.do(Spool(ground), TICKET)
                        for band in on_it:
                            bench.make(pass_, band, 0, TICKET)
                elif seed is None:
                    for band in bands(pass_, pyramid):
                        bench.make(pass_, band, 0, TICKET)
                else:
                    make(bench, pass_, random.Random(seed))
    found = []
    for level in pyramid.levels:
        whole = np.zeros(level.shape[1:], pyramid.dtype)
        for part, pixels in read_chunks(store, level.index, level.region):
            whole[tuple(map(slice, part.start[1:], part.stop[1:]))] = pixels
        found.append(np.moveaxis(whole, 0, 1))
    return found


def expected(pixels: np.ndarray, pyramid: Pyramid, method: str) -> list[np.ndarray]:
    """Each level of the one before, by the oracles."""
    found, factor = [], (1, 1)
    for level in pyramid.levels:
        z, d = level.factor[Z] // factor[0], level.factor[3] // factor[1]
        pixels = reduced(pixels, (z, 1, d, d), method)
        factor = level.factor[Z], level.factor[3]
        found.append(pixels)
    return found


def random_volume(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray:
    """Half of the values come often, since modes have ties then."""
    info, rng = np.iinfo(dtype), np.random.default_rng(seed)
    often = rng.choice(np.array([info.min, 1, 2, info.max], dtype), shape)
    return np.where(rng.random(shape) < 0.5, often, rng.integers(info.min, info.max, shape, dtype, endpoint=True))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 23), st.just(2), st.integers(1, 300), st.integers(1, 300)),
    dtype=st.sampled_from(("uint8", "int16", "uint16", "uint32")),
    layout=st.sampled_from(tuple(LAYOUTS)),
    chunk=st.sampled_from((1, 2, 3, 4, 5, 16)),
    halvings=st.integers(0, 2),
    base=st.sampled_from(((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (2, 1), (8, 32))),
    method=st.sampled_from(("mean", "mean", *ORACLES)),
    last=st.integers(0, 2),
    seed=st.none() | st.integers(0, 99),
)
def test_levels_are_made_of_whole_boxes(
    shape: tuple[int, ...],
    dtype: str,
    layout: str,
    chunk: int,
    halvings: int,
    base: tuple[int, int],
    method: str,
    last: int,
    seed: int | None,
) -> None:
    pixels, access = random_volume(shape, dtype, 1), LAYOUTS[layout][0]
    with tempfile.TemporaryDirectory() as folder:
        image = write(Path(folder) / "a.ome.tif", pixels, layout)
        pyramid = volume(shape[0], *shape[2:], chunk, halvings, base, dtype)
        found = made(image, pyramid, access, method, last, seed)
    for level, wanted in zip(found, expected(pixels, pyramid, method), strict=True):
        np.testing.assert_array_equal(level, wanted)


@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize("layout", ["rows", "tiles"])
def test_floats_have_the_same_bits_however_they_are_cut(tmp_path: Path, method: str, layout: str) -> None:
    """Numpy's nanmean in float64, and bits that hang on no cut though the sums hang on their order."""
    rng = np.random.default_rng(2)
    pixels = (rng.standard_normal((11, 2, 150, 170)) * 10.0 ** rng.integers(-9, 9, (11, 2, 150, 170))).astype("float32")
    pixels[rng.random(pixels.shape) < 0.3] = np.nan
    pixels[:, :, :40, :40] = np.nan
    pixels[4, 0, 100, 100], pixels[5, 0, 101, 100], pixels[7, 1, 60, 60] = np.inf, -np.inf, -np.inf
    image = write(tmp_path / "a.ome.tif", pixels, layout)
    whole = None
    for chunk, last, seed in ((4, 2, None), (4, 0, 1), (3, 2, 2), (3, 1, None), (1, 2, 3)):
        found = made(image, volume(11, 150, 170, chunk, 2, (2, 2), "float32"), LAYOUTS[layout][0], method, last, seed)
        whole = whole or found
        assert [level.tobytes() for level in found] == [level.tobytes() for level in whole]
    assert whole is not None
    source = pixels
    for level in whole:
        if method == "nearest":
            np.testing.assert_array_equal(level, source[::2, :, ::2, ::2])
        else:
            np.testing.assert_allclose(level, box_nanmean(source), rtol=2e-7, atol=1e-12)
        source = level


def box_nanmean(pixels: np.ndarray) -> np.ndarray:
    z, c, y, x = pixels.shape
    padded = np.full((-(-z // 2) * 2, c, -(-y // 2) * 2, -(-x // 2) * 2), np.nan)
    padded[:z, :, :y, :x] = pixels
    boxes = padded.reshape(-(-z // 2), 2, c, -(-y // 2), 2, -(-x // 2), 2)
    with np.errstate(invalid="ignore"):
        sums, counts = np.nansum(boxes, axis=(1, 4, 6)), (~np.isnan(boxes)).sum(axis=(1, 4, 6))
        return sums / counts


def _median(block: np.ndarray, d: int, out: np.ndarray) -> None:
    for s, y, x in np.ndindex(out.shape):
        values = np.sort(block[:, y * d : (y + 1) * d, x * d : (x + 1) * d, s], axis=None)
        out[s, y, x] = values[(len(values) - 1) // 2]


@pytest.mark.parametrize("layout", ["rows", "tiles"])
def test_a_row_and_an_oracle_are_all_that_a_new_reduction_takes(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REDUCTIONS, "median", Reduction(_median))
    monkeypatch.setitem(ORACLES, "median", Oracle("median", np.median))
    pixels = random_volume((9, 2, 150, 170), "uint16", 3)
    image, pyramid = write(tmp_path / "a.ome.tif", pixels, layout), volume(9, 150, 170, 3, 1, (2, 4))
    for found, wanted in zip(made(image, pyramid, LAYOUTS[layout][0], "median", 1, 5), expected(pixels, pyramid, "median"), strict=True):
        np.testing.assert_array_equal(found, wanted)
