"""The pyramid's levels, and bands that own their chunks alone, against counting every pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pyramids import picture, pyramid, volume

from omezarr_proc.model.pyramid import Axis, Level, Pyramid
from omezarr_proc.model.region import Region, ceil_div
from omezarr_proc.plan.access import decoded
from omezarr_proc.plan.passes import Pass, at, band_count, bands, first_passes, next_pass, slot_levels

sides = st.integers(1, 5000)


@given(sides, sides, st.sampled_from((1, 2, 4, 16)), st.integers(0, 5), st.integers(1, 600))
def test_levels_follow_the_rule(height: int, width: int, d: int, most: int, least: int) -> None:
    levels = pyramid(picture(height, width), d, most, least).levels
    for k, level in enumerate(levels):
        assert (level.index, level.factor) == (k, (1, 1, 1, d * 2**k, d * 2**k))
        assert (level.height, level.width) == (int(np.ceil(height / (d * 2**k))), int(np.ceil(width / (d * 2**k))))
    assert all(max(level.height, level.width) > least for level in levels[:-1])
    if most:
        assert len(levels) <= most
    if not most or len(levels) < most:
        assert max(levels[-1].height, levels[-1].width) <= least


def owned(pass_: Pass, p: Pyramid) -> None:
    """Every pixel of every level of the pass belongs to one band, whose chunks are whole and fit its slot."""
    parts, size = slot_levels(pass_, p)
    owners = [np.zeros(level.shape, int) for level in p.levels]
    found = list(bands(pass_, p))
    assert len(found) == band_count(pass_, p)
    for band in found:
        for step in pass_.steps:
            level = p.levels[pass_.first + step]
            region = at(p, pass_, band, step)
            for a, b, chunk, end in zip(region.start[2:], region.stop[2:], level.chunk[2:], level.shape[2:], strict=True):
                assert a % chunk == 0 and (b % chunk == 0 or b == end)
            assert all(n <= there for n, there in zip(region.divided(level.chunk).shape[2:], parts[step].shape[:3], strict=True))
            owners[level.index][tuple(slice(*pair) for pair in zip(region.start, region.stop, strict=True))] += 1
    for level in p.levels[pass_.first : pass_.last + 1]:
        assert (owners[level.index] == 1).all()
    ends = [part.offset + int(np.prod(part.shape)) * p.itemsize for part in parts]
    assert all(end <= part.offset for end, part in zip(ends, parts[1:], strict=False)) and ends[-1] <= size


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 3), st.integers(1, 2), st.data())
def test_bands_own_whole_chunks_of_every_level(height: int, width: int, t: int, z: int, data: st.DataObject) -> None:
    image = picture(height, width, t, 2, z)
    p = pyramid(image)
    first = data.draw(st.sampled_from(first_passes(image, p, ("segment",))))
    owned(first.pass_, p)
    if first.pass_.last < len(p.levels) - 1:
        owned(next_pass(p, first.pass_.last, data.draw(st.sampled_from((0, 1 << 14, 1 << 20)))), p)


@given(st.integers(1, 50), st.integers(1, 300), st.integers(1, 300), st.sampled_from((1, 4, 16)), st.integers(0, 2), st.integers(0, 2))
def test_bands_of_volumes_own_whole_chunks_too(size_z: int, height: int, width: int, chunk: int, halvings: int, last: int) -> None:
    p = volume(size_z, height, width, chunk, halvings)
    t, _, *sides = (n * c for n, c in zip(p.ratio(0, last), p.levels[last].chunk, strict=True))
    z, y, x = sides
    owned(Pass(None, (1, 1, 1, 1, 1), 0, last, (t, 1, z, y, x)), p)


@given(st.integers(1, 4), st.sampled_from((1, 3, 6)), st.integers(1, 40), st.sampled_from((1, 8)))
def test_frames_are_numbered_without_holes(t: int, c: int, z: int, chunk: int) -> None:
    def level(k: int) -> Level:
        sizes = ((t, 1, 1), (c, 1, 1), (z, 1 << k, chunk), (9, 1, 9), (9, 1, 9))
        return Level(k, tuple(Axis(size=ceil_div(n, f), factor=f, chunk=m, object=m) for n, f, m in sizes))

    levels = (level(0), level(1))
    p = Pyramid(levels, ("t", "c", "z", "y", "x"), "uint8", 1 if c == 1 else 3)
    for k, one in enumerate(levels):
        places = [(i, j, d) for i in range(t) for d in range(one.grid.shape[2]) for j in range(0, c, p.channels)]
        assert [p.position(k, frame) for frame in range(p.frames(k))] == places
        assert [p.frame(k, *place) for place in places] == list(range(p.frames(k)))


def test_chunks_are_counted_as_they_are_stored() -> None:
    image = picture(600, 300, 2, 3, 4, samples=3)
    assert pyramid(image, most=1, tile=256, bundled=True).chunk_count == 3 * 2 * 8
    assert pyramid(image, most=1, tile=256, bundled=False).chunk_count == 3 * 2 * 8 * 3


@given(st.integers(1, 3000), st.integers(1, 400), st.integers(1, 700))
def test_read_amplification_is_what_counting_gives(length: int, segment: int, band: int) -> None:
    touched = sum(ceil_div(min(start + band, length), segment) - start // segment for start in range(0, length, band))
    assert decoded(length, segment, band) == touched / ceil_div(length, segment)


indices = st.tuples(*[st.integers(0, 9)] * 5)
steps = st.tuples(*[st.integers(1, 4)] * 5)


@given(indices, indices, steps)
def test_a_region_is_cut_into_disjoint_parts_on_the_grid(a: tuple[int, ...], b: tuple[int, ...], step: tuple[int, ...]) -> None:
    region = Region(tuple(map(min, a, b)), tuple(max(x, y) + 1 for x, y in zip(a, b, strict=True)))  # type: ignore[arg-type]
    parts = list(region.cut(step))  # type: ignore[arg-type]
    assert sorted(i for part in parts for i in part.indices()) == sorted(region.indices())
    for part in parts:
        assert part.divided(step).size == 1  # type: ignore[arg-type]
    assert {i for part in parts for i in part.divided(step).indices()} == set(region.divided(step).indices())  # type: ignore[arg-type]


@given(indices, steps)
def test_divided_and_scaled(start: tuple[int, ...], by: tuple[int, ...]) -> None:
    region = Region(start, tuple(n + 1 for n in start))  # type: ignore[arg-type]
    cell = region.divided(by)  # type: ignore[arg-type]
    assert cell.size == 1 and set(region.indices()) <= set(cell.scaled(by).indices())  # type: ignore[arg-type]
    assert cell.scaled(by).divided(by) == cell  # type: ignore[arg-type]
    assert region.within(region).moved(region.start) == region
