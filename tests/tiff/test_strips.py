"""Last strips that hold more rows than the image has, as some writers fill them up, as libtiff reads them."""

import zlib
from contextlib import closing

import imagecodecs
import numpy as np
import pytest
from reading import opened, whole
from tiffs import build, coordinates, grey, save

from omezarr_proc.model.errors import InputError

CODECS = {8: lambda strip: zlib.compress(strip.tobytes()), 32773: imagecodecs.packbits_encode, 5: imagecodecs.lzw_encode,
          50000: lambda strip: imagecodecs.zstd_encode(strip.tobytes())}  # fmt: skip


def filled_up(path, code, rows, height, **more):
    pixels = coordinates((-(-height // rows) * rows, 20), "uint8")
    strips = [CODECS[code](np.ascontiguousarray(pixels[at : at + rows])) for at in range(0, len(pixels), rows)]
    places = [8 + sum(map(len, strips[:n])) for n in range(len(strips))]
    tags = {"t259": (3, [code]), "t278": (4, [rows]), "t273": (4, places), "t279": (4, [*map(len, strips)])} | more
    return save(path, build([grey(b"".join(strips), 20, height, **tags)])), pixels[:height]


@pytest.mark.parametrize("code", CODECS)
@pytest.mark.parametrize(("rows", "height"), [(8, 27), (8, 5)])
def test_a_last_strip_of_more_rows_is_cut(tmp_path, code, rows, height):
    path, pixels = filled_up(tmp_path / "x.tif", code, rows, height)
    image, reader = opened(path)
    with closing(reader):
        assert np.array_equal(whole(reader, image.planes[0])[..., 0], pixels)


def test_a_last_strip_of_fewer_rows_stays_corrupt(tmp_path):
    strips = [zlib.compress(bytes(160)), zlib.compress(bytes(20))]
    tags = {"t259": (3, [8]), "t278": (4, [8]), "t273": (4, [8, 8 + len(strips[0])]), "t279": (4, [*map(len, strips)])}
    image, reader = opened(save(tmp_path / "x.tif", build([grey(b"".join(strips), 20, 13, **tags)])))
    with closing(reader), pytest.raises(InputError, match="segment 1 is corrupt"):
        whole(reader, image.planes[0])


def test_a_strip_that_is_not_the_last_stays_corrupt(tmp_path):
    strips = [zlib.compress(bytes(180)), zlib.compress(bytes(100))]
    tags = {"t259": (3, [8]), "t278": (4, [8]), "t273": (4, [8, 8 + len(strips[0])]), "t279": (4, [*map(len, strips)])}
    image, reader = opened(save(tmp_path / "x.tif", build([grey(b"".join(strips), 20, 13, **tags)])))
    with closing(reader), pytest.raises(InputError, match="segment 0 is corrupt"):
        whole(reader, image.planes[0])
