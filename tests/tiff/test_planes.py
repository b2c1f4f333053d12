"""Which IFD is which plane, against a plain statement of the specification."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omezarr_proc.tiff.describe import planes
from omezarr_proc.tiff.describe.omexml import OmeImage, OmeXmlError, TiffData

ORDERS = ["XYZCT", "XYZTC", "XYCZT", "XYCTZ", "XYTCZ", "XYTZC"]


def image(order="XYZCT", z=1, c=1, t=1, tiffdata=()):
    return OmeImage(order=order, size={"X": 1, "Y": 1, "Z": z, "C": c, "T": t}, tiffdata=list(tiffdata))


def ifds(described, groups):
    return [None if place is None else place[1] for place in planes.order(described, groups)]


@given(st.sampled_from(ORDERS), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_without_tiffdata_the_first_axis_of_the_order_runs_fastest(order, z, c, t):
    size = {"Z": z, "C": c, "T": t}
    pages = [dict(zip(reversed(order[2:]), index, strict=True)) for index in product(*(range(size[axis]) for axis in reversed(order[2:])))]
    expected = [pages.index({"T": it, "Z": iz, "C": ic}) for it, iz, ic in product(range(t), range(z), range(c))]
    assert ifds(image(order, z, c, t), c) == expected
    assert ifds(image(order, z, c, t, [TiffData(ifd=None, count=None, c=0, z=0, t=0)]), c) == expected
    assert ifds(image(order, z, c, t, [TiffData(ifd=0, count=z * c * t, c=0, z=0, t=0)]), c) == expected


@given(st.permutations(range(12)))
def test_one_tiffdata_a_plane_in_any_order(permutation):
    places = list(product(range(2), range(3), range(2)))  # t, z, c
    data = [TiffData(ifd=permutation[i], count=1, c=c, z=z, t=t) for i, (t, z, c) in enumerate(places)]
    assert ifds(image("XYTZC", 3, 2, 2, reversed(data)), 2) == list(permutation)


def test_a_hole_is_none():
    described = image(z=4, tiffdata=[TiffData(ifd=0, count=1, c=0, z=0, t=0), TiffData(ifd=7, count=2, c=0, z=2, t=0)])
    assert ifds(described, 1) == [0, None, 7, 8]


def test_a_tiffdata_without_count_goes_on_until_the_next():
    described = image(z=6, tiffdata=[TiffData(ifd=3, count=None, c=0, z=0, t=0), TiffData(ifd=20, count=None, c=0, z=4, t=0)])
    assert ifds(described, 1) == [3, 4, 5, 6, 20, 21]


def test_writers_that_count_from_one():
    described = image(z=3, tiffdata=[TiffData(ifd=i, count=1, c=0, z=i + 1, t=0) for i in range(3)])
    assert ifds(described, 1) == [0, 1, 2]


def test_planes_outside_the_sizes_are_refused():
    with pytest.raises(OmeXmlError, match="outside"):
        planes.order(image(z=3, tiffdata=[TiffData(ifd=0, count=1, c=0, z=0, t=0), TiffData(ifd=1, count=1, c=0, z=9, t=0)]), 1)


def test_a_claim_of_thousands_of_millions_of_planes_is_refused():
    with pytest.raises(OmeXmlError, match="planes"):
        planes.order(image(t=2_000_000_000), 1)


@pytest.mark.parametrize(
    ("size_c", "samples", "expected"), [(3, 3, (1, 3)), (6, 3, (2, 6)), (4, 1, (4, 4)), (1, 3, (1, 3)), (2, 3, (2, 6))]
)
def test_the_pages_decide_the_samples(size_c, samples, expected):
    assert planes.channel_groups(image(c=size_c), samples) == expected
