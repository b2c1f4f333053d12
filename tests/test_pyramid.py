"""Levels and bands: sizes by the rule, and bands that own their chunks alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.model.image import Rect
from omezarr_proc.model.pyramid import Frames, Pass, bands, ceil_div, chunk_count, make_levels, slot_levels

sides = st.integers(1, 5000)


@given(sides, sides, st.sampled_from((1, 2, 4, 16)), st.integers(0, 5), st.integers(1, 600))
def test_levels_follow_the_rule(height: int, width: int, d: int, most: int, least: int) -> None:
    levels = make_levels(height, width, d, most, least)
    for k, level in enumerate(levels):
        assert (level.index, level.factor) == (k, d * 2**k)
        assert (level.height, level.width) == (int(np.ceil(height / (d * 2**k))), int(np.ceil(width / (d * 2**k))))
    assert all(max(level.height, level.width) > least for level in levels[:-1])
    if most:
        assert len(levels) <= most
    if not most or len(levels) < most:
        assert max(levels[-1].height, levels[-1].width) <= least


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))
def test_bands_own_whole_chunks_of_every_level(height: int, width: int, steps: int, wide: int, frames: int) -> None:
    tile = 64
    levels = make_levels(height, width, 1, 0, 1)[: steps + 1]
    stage = Pass(None, 1, 0, len(levels) - 1, tile << (len(levels) - 1), wide * tile << (len(levels) - 1))
    parts, size = slot_levels(stage, levels, tile, 1, 1)
    owners = [np.zeros((frames, level.height, level.width), int) for level in levels]
    for band in bands(stage, levels[0], frames):
        for step, level in enumerate(levels):
            rect = band.at(step)
            assert rect.y0 % tile == 0 and rect.x0 % tile == 0
            assert rect.y1 % tile == 0 or rect.y1 == level.height
            assert rect.x1 % tile == 0 or rect.x1 == level.width
            assert ceil_div(rect.height, tile) <= parts[step].rows and ceil_div(rect.width, tile) <= parts[step].columns
            owners[step][band.frame, rect.y0 : rect.y1, rect.x0 : rect.x1] += 1
    assert all((owner == 1).all() for owner in owners)
    ends = [part.offset + part.rows * part.columns * tile * tile for part in parts]
    assert all(end <= part.offset for end, part in zip(ends, parts[1:], strict=False)) and ends[-1] <= size


def test_frames_count_t_z_and_channel_groups() -> None:
    frames = Frames(size_t=2, size_c=6, size_z=4, channels=3)
    assert (frames.groups, frames.count) == (2, 16)
    assert [frames.position(f) for f in (0, 1, 2, 9, 15)] == [(0, 0, 0), (0, 3, 0), (0, 0, 1), (1, 3, 0), (1, 3, 3)]


def test_chunks_are_counted_as_they_are_stored() -> None:
    level = make_levels(600, 300, 1, 1, 1)[0]
    assert chunk_count(level, Frames(2, 3, 4, 3), 256, bundled=True) == 3 * 2 * 8
    assert chunk_count(level, Frames(2, 3, 4, 3), 256, bundled=False) == 3 * 2 * 8 * 3
    assert Rect(0, 600, 0, 300).width == 300
