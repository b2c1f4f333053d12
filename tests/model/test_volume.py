"""Which levels halve z, and how many planes a chunk holds, against weighing voxels by hand."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramids import picture

from omezarr_proc.model.image import AxisSize, Image
from omezarr_proc.model.pyramid import base_z_factor, make_pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.model.volume import anisotropy, chunk_depth, z_factors


def stack(planes: int, z: float | None, y: float = 1.0, x: float = 1.0, unit: str = "micrometer", side: int = 1000) -> Image:
    sizes = {"y": AxisSize(y, "micrometer"), "x": AxisSize(x, "micrometer")} | ({} if z is None else {"z": AxisSize(z, unit)})
    return replace(picture(side, side), size_z=planes, sizes=sizes)  # without a plane for each


def factors(image: Image, how: str = "auto", count: int = 6) -> list[int]:
    return list(islice(z_factors(image, how), count))


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (1.0, [1, 2, 4, 8, 16, 32]),
        (1.5, [1, 2, 4, 8, 16, 32]),
        (1.51, [1, 1, 2, 4, 8, 16]),
        (2.0, [1, 1, 2, 4, 8, 16]),
        (3.0, [1, 1, 2, 4, 8, 16]),
        (3.1, [1, 1, 1, 2, 4, 8]),
        (0.2, [1, 2, 4, 8, 16, 32]),
        (100.0, [1, 1, 1, 1, 1, 1]),
        (None, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_z_is_halved_where_voxels_stay_near_cubes(z: float | None, expected: list[int]) -> None:
    assert factors(stack(1000, z)) == expected


@given(st.floats(0.01, 100), st.floats(0.1, 10), st.floats(0.1, 10))
def test_no_level_is_coarser_in_z_than_it_must_be(z: float, y: float, x: float) -> None:
    found = factors(stack(1 << 30, z, y, x), count=12)
    finer = min(y, x)
    for k, (before, after) in enumerate(pairwise(found)):
        assert after in (before, 2 * before)
        coarse = Fraction(str(z)) * 2 * before / (Fraction(str(finer)) * 2 ** (k + 1))
        assert (after > before) == (coarse <= Fraction(3, 2))


def test_an_axis_of_one_plane_is_not_halved() -> None:
    assert factors(stack(1, 1.0)) == [1] * 6
    assert factors(stack(5, 1.0)) == [1, 2, 4, 8, 8, 8]
    assert factors(stack(5, 1.0), "isotropic") == [1, 2, 4, 8, 8, 8]


def test_the_user_decides_where_nothing_is_stated() -> None:
    assert factors(stack(1000, None), "isotropic") == [1, 2, 4, 8, 16, 32]
    assert factors(stack(1000, 50.0), "isotropic") == [1, 2, 4, 8, 16, 32]
    assert factors(stack(1000, 1.0), "none") == [1] * 6


def test_units_are_converted() -> None:
    assert anisotropy(stack(9, 650.0, 0.325, 0.5, "nanometer")) == 2
    assert anisotropy(stack(9, 0.001, unit="millimeter")) == 1
    assert anisotropy(stack(9, 10000.0, unit="angstrom")) == 1
    assert anisotropy(stack(9, 1 / 25400, unit="inch")) == pytest.approx(1)
    assert anisotropy(stack(9, 1.0, unit="second")) is None


@pytest.mark.parametrize(
    ("planes", "z", "setting", "expected"),
    [
        (64, 1.0, "auto", 16),
        (64, 2.0, "auto", 16),
        (64, 2.1, "auto", 1),
        (63, 1.0, "auto", 1),
        (64, None, "auto", 1),
        (64, None, 8, 8),
        (5, 1.0, 16, 5),
        (1, None, 1024, 1),
    ],
)
def test_the_depth_of_chunks(planes: int, z: float | None, setting: str | int, expected: int) -> None:
    assert chunk_depth(stack(planes, z), setting, planes) == expected


@pytest.mark.parametrize(("downsample", "z", "expected"), [(1, 1.0, 1), (2, 1.0, 2), (8, 1.0, 8), (8, 3.0, 4), (4, None, 1)])
def test_the_base_level_follows_the_same_rule(downsample: int, z: float | None, expected: int) -> None:
    image = stack(1000, z)
    assert base_z_factor(image, downsample, "auto") == expected
    names = ("c", "z", "y", "x")
    shape = {"downsample": downsample, "tile": 64, "bundled": False, "max_levels": 0, "min_dimension": 64, "names": names}
    levels = make_pyramid(image, **shape, z_downsample="auto", z_chunk=16).levels
    assert levels[0].factor == (1, 1, expected, downsample, downsample)
    flat = make_pyramid(image, **shape).levels
    assert len(levels) == len(flat), "z has no say in where levels end"
    for level in levels:
        assert level.shape[Z] == math.ceil(1000 / level.factor[Z]) and level.chunk[Z] == 16
