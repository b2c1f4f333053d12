"""JPEG 2000 with colours that no tag tells: Aperio's 33003 is YCbCr, the same number by others RGB."""

from contextlib import closing

import numpy as np
import pytest
import tifffile
from jpeg2000 import APERIO, colours, saved, to_ycbcr
from reading import opened, whole

from omezarr_proc.tiff.read import ycc


@pytest.mark.parametrize(("compression", "photometric", "more"), [(33003, 2, APERIO), (33003, 6, APERIO), (33003, 6, {}), (34712, 6, {})])
def test_what_is_ycbcr_becomes_rgb(tmp_path, compression, photometric, more):
    image, reader = opened(saved(tmp_path / "x.tif", to_ycbcr(colours()), compression, photometric=photometric, **more))
    with closing(reader):
        assert image.rgb
        assert np.abs(whole(reader, image.planes[0]) - colours().astype(int)).max() <= 2


def test_16_bits(tmp_path):
    rgb = colours().astype(np.uint16) * 257
    image, reader = opened(saved(tmp_path / "x.tif", to_ycbcr(rgb, 65535), 33003, **APERIO))
    with closing(reader):
        assert image.dtype == "uint16"
        assert np.abs(whole(reader, image.planes[0]) - rgb.astype(int)).max() <= 2


@pytest.mark.parametrize(("compression", "mct", "more"), [(33003, False, {}), (33005, True, APERIO), (33004, True, {"t305": (2, b"x\0")})])
def test_what_is_rgb_stays(tmp_path, compression, mct, more):
    image, reader = opened(saved(tmp_path / "x.tif", colours(), compression, mct, **more))
    with closing(reader):
        np.testing.assert_array_equal(whole(reader, image.planes[0]), colours())


def test_33004_by_tifffile_is_rgb(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", colours(), compression=33004, compressionargs={"level": 0}, photometric="rgb", metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    with closing(reader):
        assert np.abs(whole(reader, image.planes[0]) - colours().astype(int)).max() <= 2


def test_conversion_in_pieces_is_that_of_the_whole():
    stored = to_ycbcr(colours())
    expected = ycc.to_rgb(stored)
    np.testing.assert_array_equal(ycc.to_rgb(stored, piece=100), expected)
    assert np.abs(expected - colours().astype(int)).max() <= 2
