"""Plans: within the limit, monotonous in it, and never reading much twice."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramids import picture, pyramid

from omezarr_proc.build.taken import Taken
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import AxisSize, Channel, Image, Layout, Plane
from omezarr_proc.model.pyramid import Pyramid, make_pyramid
from omezarr_proc.model.region import X, Y, ceil_div
from omezarr_proc.plan.memory import MB, RESERVE_BYTES
from omezarr_proc.plan.passes import MAX_AMPLIFICATION, Pass, band_count, bands, cut_lines, first_passes
from omezarr_proc.plan.plan import Plan, make_plan


def limits(megabytes: int, cpus: float = 2) -> Limits:
    return Limits(memory_bytes=megabytes * MB, headroom_bytes=megabytes * MB, memory_source="a test", cpus=cpus, cpu_source="a test")


def source(layout: Layout, channels: int, *, bundled: bool, d: int = 2, planes: int = 1, tile: int = 256) -> tuple[Image, Pyramid]:
    image = Image(
        source="a.tif",
        files=("/a.tif",),
        series=0,
        name="a",
        size_t=1,
        size_c=channels,
        size_z=planes,
        height=layout.height,
        width=layout.width,
        dtype=layout.dtype,
        stored_dtype=layout.dtype,
        rgb=layout.samples == 3,
        layouts=(layout,),
        planes=(Plane(0, 8),) * (planes * channels // layout.samples),
        channels=(Channel(),) * channels,
    )
    return image, pyramid(image, d, least=256, tile=tile, bundled=bundled)


def tiles(height: int, width: int, side: int, samples: int = 1, dtype: str = "uint8") -> Layout:
    size = side * side * samples * np.dtype(dtype).itemsize
    return Layout(
        height=height,
        width=width,
        samples=samples,
        segment_height=side,
        segment_width=side,
        dtype=dtype,
        compression="jpeg",
        segment_bytes=size,
        encoded_bytes=size,
    )


def strips(height: int, width: int, rows: int, **access: bool) -> Layout:
    return Layout(
        height=height,
        width=width,
        samples=1,
        segment_height=rows,
        segment_width=width,
        dtype="uint8",
        compression="lzw",
        segment_bytes=rows * width,
        encoded_bytes=rows * width,
        **access,
    )


SLIDE = source(tiles(16384, 16384, 512, 3), 3, bundled=True)
LARGE = source(tiles(40000, 60000, 512, 3), 3, bundled=True)
WIDE = source(tiles(2000, 100000, 256, dtype="uint16"), 4, bundled=True)
STACK = source(
    Layout(height=1024, width=1024, samples=1, segment_height=1024, segment_width=1024, dtype="uint16", raw=True, segment_bytes=2 * MB),
    2,
    bundled=False,
    planes=60,
)
ALL = {"slide": SLIDE, "large": LARGE, "wide": WIDE, "stack": STACK}


def well_formed(plan: Plan) -> bool:
    firsts = [pass_.first for pass_ in plan.passes]
    sources = [pass_.source for pass_ in plan.passes]
    return firsts == [0, *(pass_.last + 1 for pass_ in plan.passes[:-1])] and sources == [None, *(f - 1 for f in firsts[1:])]


@pytest.mark.parametrize("name", ALL)
def test_what_a_certificate_keeps_is_counted(name: str) -> None:
    """As numpy has the arrays that are kept."""
    image, pyramid_ = ALL[name]
    taken = Taken(image, pyramid_)
    arrays = [taken.source._blocks, *(level._blocks for level in taken.levels), *taken._checksums]
    plain, certified = (make_plan(image, pyramid_, limits(4096), certified=certified) for certified in (False, True))
    assert certified.projected_bytes - plain.projected_bytes == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("megabytes", [256, 512, 1024, 16384])
def test_plans_stay_within_the_limit_and_use_all_cpus(name: str, megabytes: int) -> None:
    plan = make_plan(*ALL[name], limits(megabytes))
    assert plan.projected_bytes + RESERVE_BYTES <= megabytes * MB
    assert plan.workers == 2 and plan.slots >= 2
    assert plan.amplification == 1.0
    assert well_formed(plan) and plan.passes[-1].last == len(ALL[name][1].levels) - 1


def test_memory_depends_neither_on_height_nor_on_width_of_tiled_images() -> None:
    slide, large = make_plan(*SLIDE, limits(4096)), make_plan(*LARGE, limits(4096))
    assert slide.projected_bytes == large.projected_bytes <= 200 * MB


@given(st.integers(64, 4000), st.integers(1, 16), st.sampled_from(sorted(ALL)))
def test_more_memory_never_gives_a_smaller_plan(megabytes: int, cpus: int, name: str) -> None:
    try:
        less = make_plan(*ALL[name], limits(megabytes, cpus))
    except LimitError:
        return
    more = make_plan(*ALL[name], limits(megabytes * 2, cpus))
    assert more.workers >= less.workers and more.projected_bytes >= less.projected_bytes


def test_too_little_memory_is_refused_with_what_would_be_enough() -> None:
    with pytest.raises(LimitError, match=r"needs a memory limit of \d+ MB at least, there are 50 MB \(a test\)") as error:
        make_plan(*SLIDE, limits(50))
    enough = int(str(error.value).split("limit of ")[1].split()[0])
    assert make_plan(*SLIDE, limits(enough)).workers == 1
    with pytest.raises(LimitError):
        make_plan(*SLIDE, limits(enough - 1))


def test_each_step_down_takes_less_until_the_smallest() -> None:
    plans = [make_plan(*SLIDE, limits(4096, 4), smaller) for smaller in range(40)]
    sizes = [plan.projected_bytes for plan in plans]
    floor = sizes.index(sizes[-1])
    assert floor > 2 and all(b <= a * 6 / 7 for a, b in pairwise(sizes[: floor + 1]))
    assert plans[floor].workers == 1 and set(sizes[floor:]) == {sizes[-1]}


@given(st.integers(200, 9000), st.integers(200, 9000), st.sampled_from((16, 240, 512, 1000)), st.sampled_from((1, 2, 4)))
def test_little_is_decoded_twice(height: int, width: int, side: int, d: int) -> None:
    image, p = source(tiles(height, width, side), 1, bundled=False, d=d)
    plan = make_plan(image, p, limits(1024))
    pass_, layout = plan.passes[0], image.layouts[0]
    decoded = 0
    for band in bands(pass_, p):
        rows = ceil_div(min(band.stop[Y] * d, height), side) - band.start[Y] * d // side
        columns = ceil_div(min(band.stop[X] * d, width), side) - band.start[X] * d // side
        decoded += rows * columns
    stated = decoded / (ceil_div(height, layout.segment_height) * ceil_div(width, layout.segment_width))
    assert stated == pytest.approx(plan.amplification)
    assert plan.amplification <= MAX_AMPLIFICATION


def test_strips_that_must_be_decoded_whole_give_bands_as_wide_as_the_plane() -> None:
    image, p = source(strips(30000, 30000, 64), 1, bundled=False)
    assert make_plan(image, p, limits(512)).passes[0].band[X] >= p.levels[0].width


def test_huge_segments_are_streamed_or_spooled_where_they_do_not_fit() -> None:
    stream = source(strips(30000, 30000, 30000, stream=True, spool=True), 1, bundled=False)
    plan = make_plan(*stream, limits(512))
    assert plan.access == ("stream",)
    assert cut_lines(*stream, plan.passes[0], plan.access[0]) == (1, 0, 0)
    spool = source(strips(30000, 30000, 30000, spool=True), 1, bundled=False)
    plan = make_plan(*spool, limits(512))
    assert plan.access == ("spool",) and plan.spool_bytes >= 30000 * 30000
    whole = source(replace(strips(30000, 30000, 30000), decode_factor=5), 1, bundled=False)
    with pytest.raises(LimitError, match=r"at least"):
        make_plan(*whole, limits(512))


def test_small_planes_are_one_task_each() -> None:
    plan = make_plan(*STACK, limits(512))
    assert plan.undivided and plan.slots >= 2 * plan.workers and len(plan.passes) == 1


@pytest.mark.parametrize(
    ("height", "width", "side"), [(1, 1 << 62, 1 << 62), (1 << 62, 1 << 62, 13), (1 << 31, 1 << 31, 512), (1 << 62, 1, 1)]
)
def test_planning_is_arithmetic_for_any_numbers(height: int, width: int, side: int) -> None:
    """A sum over the bands of such an image would not end."""
    image, p = source(tiles(height, width, side), 1, bundled=False)
    try:
        plan = make_plan(image, p, limits(512))
    except LimitError as error:
        assert "at least" in str(error)
        return
    assert well_formed(plan)
    assert band_count(plan.passes[0], p) > 1 << 20


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3))
def test_bands_are_counted_without_making_them(height: int, width: int, frames: int) -> None:
    p, pass_ = pyramid(picture(height, width, c=frames), most=1), Pass(None, (1, 1, 1, 1, 1), 0, 0, (1, 1, 1, 256, 512))
    assert band_count(pass_, p) == sum(1 for _ in bands(pass_, p))


def volume(planes: int, side: int, channels: int = 1, chunk: int = 16, z: int = 1, **layout: Any) -> tuple[Image, Pyramid]:
    """uint16, levels from INITIAL_DOWNSAMPLE=2 on; `z`: spacing of planes in pixels."""
    sides = {"height": side, "width": side, "segment_height": side, "segment_width": side}
    kind = Layout(samples=1, dtype="uint16", segment_bytes=2 * side * side, **sides, **layout)
    flat, _ = source(kind, channels, bundled=False)
    sizes = {axis: AxisSize(step, "micrometer") for axis, step in (("z", z), ("y", 1), ("x", 1))}
    image = replace(flat, size_z=planes, planes=flat.planes * planes, sizes=sizes)
    shape = {"downsample": 2, "tile": 256, "bundled": False, "max_levels": 0, "min_dimension": 256}
    return image, make_pyramid(image, **shape, names=("c", "z", "y", "x"), z_downsample="auto", z_chunk=chunk)


WHOLE: dict[str, Any] = {"compression": "deflate", "stream": True, "spool": True}
VOLUMES: dict[str, tuple[Image, Pyramid]] = {
    "uncompressed": volume(600, 1024, raw=True),
    "whole planes": volume(600, 1024, **WHOLE),
    "large planes": volume(2000, 2048, **WHOLE),
    "huge planes": volume(64, 16384, **WHOLE),
    "jpeg2000": volume(100, 2048, compression="jpeg2000", decode_factor=5.0),
    "far apart": volume(200, 2048, 2, 1, 3, raw=True),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_take_little_memory_and_are_decoded_once(name: str) -> None:
    plan = make_plan(*VOLUMES[name], limits(512))
    assert plan.projected_bytes <= 200 * MB
    assert plan.amplification <= MAX_AMPLIFICATION and plan.workers == 2
    assert well_formed(plan)


def test_a_long_volume_fits_into_little_memory_whatever_its_length() -> None:
    plan = make_plan(*VOLUMES["large planes"], limits(256))
    longer = make_plan(*volume(4000, 2048, **WHOLE), limits(256))
    assert plan.amplification <= MAX_AMPLIFICATION
    assert longer.passes == plan.passes and longer.spool_bytes == plan.spool_bytes


def test_the_spool_file_holds_the_planes_of_one_band() -> None:
    image, p = VOLUMES["huge planes"]
    plan = make_plan(image, p, limits(512))
    assert plan.access == ("spool",)
    assert plan.spool_bytes == 32 * 2 * 16384**2  # 16 planes of level 0 are 32 of the image


def test_planes_in_huge_segments_are_not_streamed_band_after_band() -> None:
    image, p = VOLUMES["huge planes"]
    amplifications = [first.amplification for first in first_passes(image, p, ("stream",)) if first.pass_.band[Y] < p.levels[0].height]
    assert min(amplifications) > MAX_AMPLIFICATION
