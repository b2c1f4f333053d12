"""JPEG 2000 with colours that no tag tells: Aperio's 33003 is YCbCr, the same number by others RGB."""

from contextlib import closing

import imagecodecs
import numpy as np
import pytest
import tifffile
from test_reader import opened, whole
from tiffs import build, grey, save

from omezarr_proc.tiff.read import ycc

APERIO = {"t270": (2, b"Aperio Image Library v9\r\n48x32\0")}


def to_ycbcr(rgb, top=255):
    """By the definition, not by the code under test (ITU-T T.871)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip(np.rint(rgb @ matrix.T + [0, top // 2 + 1, top // 2 + 1]), 0, top).astype(rgb.dtype)


def colours(height=32, width=48):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5, y * 7, (x * 3 + y * 4) % 256], -1).astype(np.uint8)


def saved(path, stored, compression, mct=False, photometric=2, **more):
    data = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", mct=mct, reversible=True, level=0)
    more = {"t530": (3, [1, 1]), **more} if photometric == 6 else more
    size = {"t277": (3, [3]), "t258": (3, [stored.itemsize * 8] * 3), "t262": (3, [photometric]), "t259": (3, [compression])}
    return save(path, build([grey(data, stored.shape[1], stored.shape[0], **size, **more)]))


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


def test_conversion_in_pieces_is_that_of_the_whole(monkeypatch):
    stored = to_ycbcr(colours())
    expected = ycc.to_rgb(stored)
    monkeypatch.setattr(ycc, "PIECE", 100)
    np.testing.assert_array_equal(ycc.to_rgb(stored), expected)
    assert np.abs(expected - colours().astype(int)).max() <= 2
