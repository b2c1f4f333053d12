"""24-bit integers become 32-bit ones, by the byte order of their file: as libtiff has them when a file is copied to the other order."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from reading import opened, whole
from tiffs import build, grey, save

VALUES = np.random.default_rng(5).integers(0, 1 << 24, (9, 14), np.uint32)
ENCODE = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}


def stored(order: str, values: np.ndarray = VALUES) -> bytes:
    """Three bytes a value, the lowest first (<) or the highest (>)."""
    four = values.astype(f"{order}u4").view(np.uint8).reshape(*values.shape, 4)
    return four[..., :3].tobytes() if order == "<" else four[..., 1:].tobytes()


def pixels(path: Path) -> np.ndarray:
    image, reader = opened(path)
    with closing(reader):
        assert image.dtype == "uint32"
        return whole(reader, image.planes[0])[..., 0]


@pytest.mark.parametrize("code", ENCODE)
@pytest.mark.parametrize("order", "<>")
def test_whole_planes(tmp_path: Path, order: str, code: int) -> None:
    page = grey(ENCODE[code](stored(order)), 14, 9, bits=24, t259=(3, [code]))
    np.testing.assert_array_equal(pixels(Path(save(tmp_path / "x.tif", build([page], order)))), VALUES)


def test_white_is_zero_and_samples_are_interleaved(tmp_path: Path) -> None:
    page = grey(stored("<"), 14, 9, bits=24, t262=(3, [0]))
    np.testing.assert_array_equal(pixels(Path(save(tmp_path / "x.tif", build([page])))), (1 << 24) - 1 - VALUES)
    page = grey(stored("<"), 7, 9, bits=24, t277=(3, [2]), t258=(3, [24, 24]), t338=(3, [0]))
    image, reader = opened(save(tmp_path / "y.tif", build([page])))
    with closing(reader):
        np.testing.assert_array_equal(whole(reader, image.planes[0]), VALUES.reshape(9, 7, 2))


@pytest.mark.skipif(not shutil.which("tiffcp"), reason="needs libtiff's tools")
@pytest.mark.parametrize(("order", "other"), [("<", "-B"), (">", "-L")])
def test_libtiff_turns_them_from_one_order_to_the_other(tmp_path: Path, order: str, other: str) -> None:
    save(tmp_path / "x.tif", build([grey(stored(order), 14, 9, bits=24)], order))
    subprocess.run(["tiffcp", other, "-c", "none", "-r", "4", tmp_path / "x.tif", tmp_path / "y.tif"], check=True)
    assert (tmp_path / "y.tif").read_bytes()[:2] == (b"MM" if order == "<" else b"II")
    np.testing.assert_array_equal(pixels(tmp_path / "y.tif"), VALUES)
