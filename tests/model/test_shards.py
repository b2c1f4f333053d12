"""Which chunks become one object, and that one band makes all of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramids import picture

from omezarr_proc.model.image import AxisSize, Image
from omezarr_proc.model.pyramid import Pyramid, make_pyramid
from omezarr_proc.model.shards import BAND_BYTES, sharded
from omezarr_proc.plan.passes import at, bands, first_passes, next_pass, slot_levels


def cut(image: Image, *, d: int = 1, tile: int = 256, bundled: bool = False, least: int = 256, **volume: Any) -> Pyramid:
    names = ("t", "c", "z", "y", "x")
    made = make_pyramid(image, downsample=d, tile=tile, bundled=bundled, max_levels=0, min_dimension=least, names=names, **volume)
    return sharded(made, image)


def stored_as(image: Image, dtype: str) -> Image:
    return replace(image, dtype=dtype, stored_dtype=dtype, layouts=tuple(replace(layout, dtype=dtype) for layout in image.layouts))


def in_tiles(image: Image, side: int = 512) -> Image:
    layouts = tuple(replace(layout, segment_height=side, segment_width=side, compression="jpeg") for layout in image.layouts)
    return replace(image, layouts=layouts)


def in_strips(image: Image, rows: int = 16) -> Image:
    return replace(image, layouts=tuple(replace(layout, segment_height=rows, compression="lzw") for layout in image.layouts))


def shards(p: Pyramid) -> list[tuple[int, int]]:
    return [level.shard[3:] for level in p.levels]


SLIDE = in_tiles(picture(16384, 16384, c=3, samples=3))
CAMERA = stored_as(in_tiles(picture(16384, 16384)), "uint16")
WIDE = [(8, 8), (4, 4), (2, 2), (1, 1)]
ISOTROPIC = {axis: AxisSize(1.0, "micrometer") for axis in "zyx"}
VOLUME = replace(in_tiles(stored_as(picture(1024, 1024, z=64), "uint16")), sizes=ISOTROPIC)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (cut(SLIDE, bundled=True), [(8, 8), (4, 4), (2, 2), (1, 1), (4, 4), (2, 2), (1, 1)]),
        (cut(SLIDE), [(8, 8), (4, 4), (2, 2), (1, 1), (4, 4), (2, 2), (1, 1)]),  # three channels in a slot
        (cut(CAMERA, tile=512), [(4, 4), (2, 2), (1, 1), (4, 4), (2, 2), (1, 1), (1, 1)]),  # chunks of 512 KB
        (cut(stored_as(CAMERA, "float32"), tile=512), [(2, 2), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (1, 1)]),
        (cut(CAMERA, tile=2048), [(1, 1)] * 7),
        (cut(CAMERA, least=4096), [(8, 8), (4, 4), (1, 1)]),  # the smallest level has 16 x 16 chunks
        (cut(CAMERA, least=16384), [(1, 1)]),
        (cut(in_strips(picture(40000, 60000, c=3, samples=3)), d=2, bundled=True), [(1, 64), *WIDE, (3, 4), (2, 2), (1, 1)]),
        (cut(in_strips(picture(8192, 8192)), d=2), [*WIDE, (1, 1)]),
        (cut(in_strips(stored_as(picture(16384, 16384), "uint16"))), [(2, 32), *WIDE, (2, 2), (1, 1)]),
        (cut(in_strips(stored_as(picture(8192, 8192), "uint16")), d=2), [(4, 16), (2, 8), (1, 4), (2, 2), (1, 1)]),
        (cut(VOLUME, z_chunk=16, z_downsample="auto"), [(2, 2), (1, 1), (1, 1)]),  # chunks of 2 MB, z halves with y and x
        (cut(VOLUME, z_chunk=1, z_downsample="auto"), [(4, 4), (2, 2), (1, 1)]),
        (cut(VOLUME, z_chunk=1, z_downsample="none"), [(4, 4), (2, 2), (1, 1)]),
    ],
)
def test_a_shard_is_what_a_band_makes_of_a_level(made: Pyramid, expected: list[tuple[int, int]]) -> None:
    assert shards(made) == expected


def test_objects_are_few() -> None:
    """As `docs/decisions/shards.md` states them."""
    counts = []
    for image in (SLIDE, in_tiles(picture(40000, 60000, c=3, samples=3))):
        p = cut(image, d=2, bundled=True)
        counts.append((p.chunk_count, sum(level.objects.size for level in p.levels)))
    assert counts == [(1365, 66), (12489, 604)]


@given(
    st.integers(1, 900),
    st.integers(1, 1500),
    st.integers(1, 9),
    st.sampled_from((1, 2, 3, 16)),
    st.sampled_from(("none", "isotropic")),
    st.sampled_from((1, 16, 300)),
    st.booleans(),
    st.data(),
)
def test_bands_own_whole_objects(
    height: int, width: int, size_z: int, z_chunk: int, halved: Any, least: int, strips: bool, data: st.DataObject
) -> None:
    image = picture(height, width, t=2, c=3, z=size_z, samples=data.draw(st.sampled_from((1, 3))))
    image = in_strips(image) if strips else in_tiles(image, 64)
    p = cut(image, tile=64, least=least, bundled=data.draw(st.booleans()), z_chunk=z_chunk, z_downsample=halved)
    assert not p.levels[-1].sharded
    for level in p.levels:
        assert level.object[:3] == level.chunk[:3]
        assert all(n <= there for n, there in zip(level.shard[3:], level.grid.shape[3:], strict=True)), "clipped to the level"
        assert np.prod(level.shard) <= 64
    passes = [data.draw(st.sampled_from(first_passes(image, p, ("segment",)))).pass_]
    while passes[-1].last < len(p.levels) - 1:
        passes.append(next_pass(p, passes[-1].last, data.draw(st.sampled_from((0, 1 << 17, BAND_BYTES)))))
    for pass_ in passes:
        for step in pass_.steps:
            level = p.levels[pass_.first + step]
            owners = np.zeros(level.objects.shape, int)
            for band in bands(pass_, p):
                region = at(p, pass_, band, step)
                whole = region.divided(level.object)
                assert whole.scaled(level.object).clipped(level.shape) == region
                owners[tuple(map(slice, whole.start, whole.stop))] += 1
            assert (owners == 1).all(), "no object has two writers"


@given(st.sampled_from((SLIDE, CAMERA, VOLUME)), st.sampled_from((64, 256, 512, 1024)), st.sampled_from((1, 2, 16)), st.booleans())
def test_what_a_band_of_shards_takes_fits_the_largest_slot(image: Image, tile: int, z_chunk: int, bundled: bool) -> None:
    """But for chunks that are too large for any shard."""
    p = cut(image, tile=tile, bundled=bundled and image.rgb, z_chunk=z_chunk, z_downsample="auto")
    first = min(first_passes(image, p, ("segment",)), key=lambda first: first.slot_bytes)
    chunk = int(np.prod(p.levels[0].chunk)) * p.itemsize
    assert first.slot_bytes <= BAND_BYTES + 4096 or p.levels[0].shard[3:] == (1, 1)
    assert chunk <= BAND_BYTES / 4 or not p.sharded


def test_each_chunk_of_a_shard_has_room_for_bytes_that_blosc_cannot_compress() -> None:
    p = cut(SLIDE, bundled=False)
    *_, narrowest = [first.pass_ for first in first_passes(SLIDE, p, ("segment",)) if first.pass_.last == 3]
    parts, size = slot_levels(narrowest, p)
    slot = bytearray(size)
    assert size <= BAND_BYTES
    for part, sharded_ in zip(parts, (True, True, True, False), strict=True):
        pixels = np.ndarray(part.shape, p.dtype, slot, part.offset, part.strides)
        cells = np.ndarray(part.cells, np.uint8, slot, part.offset)
        assert part.cells[-1] == 256 * 256 + 16 * sharded_
        cells[...] = 0
        pixels[0, -1, -1, 1] = 7
        assert (cells[0, -1, -1, 1, : 256 * 256] == 7).all() and int(cells.sum()) == 7 * 256 * 256
