"""Stored pyramid levels in place of full resolution: taken where exact, left alone where not."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import convert, levels, random_pixels


def write(path: Path, full: np.ndarray, stored: list[np.ndarray], *, sub_ifds: bool) -> None:
    options = {"tile": (64, 64), "photometric": "rgb" if full.shape[-1] == 3 else "minisblack"}
    with tifffile.TiffWriter(path, ome=sub_ifds) as tif:
        tif.write(full, subifds=len(stored) if sub_ifds else 0, metadata={"axes": "YXS" if full.shape[-1] == 3 else "CYX"}, **options)
        for level in stored:
            tif.write(level, subfiletype=1, metadata=None, **options)


@pytest.mark.parametrize(("sub_ifds", "channels"), [(True, True), (True, False), (False, False)])
def test_a_level_that_is_exactly_so_much_smaller_becomes_the_base_level(tmp_path: Path, sub_ifds: bool, channels: bool) -> None:
    shape = (3, 301, 403) if channels else (301, 403, 3)
    small = [(3, 151, 202), (3, 76, 101)] if channels else [(151, 202, 3), (76, 101, 3)]
    full, stored = random_pixels(shape, "uint8"), [255 - random_pixels(s, "uint8") for s in small]
    write(tmp_path / "a.ome.tif", full, stored, sub_ifds=sub_ifds)
    for downsample, level in ((2, stored[0]), (4, stored[1])):
        flags = ("--use-existing-resolutions", "1", "--initial-downsample", str(downsample), "--existing", "force")
        assert convert(tmp_path / "a.ome.tif", tmp_path, *flags) == 0
        np.testing.assert_array_equal(levels(tmp_path / "a.ome.zarr")[0], level if channels else np.moveaxis(level, 2, 0))


def test_where_none_is_exact_full_resolution_is_averaged(tmp_path: Path) -> None:
    full = random_pixels((301, 403, 3), "uint8")
    write(tmp_path / "a.ome.tif", full, [random_pixels((150, 201, 3), "uint8")], sub_ifds=True)
    assert convert(tmp_path / "a.ome.tif", tmp_path, "--use-existing-resolutions", "1") == 0
    taken = levels(tmp_path / "a.ome.zarr")[0]
    assert convert(tmp_path / "a.ome.tif", tmp_path / "plain") == 0
    np.testing.assert_array_equal(taken, levels(tmp_path / "plain" / "a.ome.zarr")[0])
