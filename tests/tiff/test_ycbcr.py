"""YCbCr without JPEG: in data units of all sizes, as libtiff (of Pillow) reads it; and what of it makes no sense."""

from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow
from reading import opened, refusal, whole
from tiffs import build, save

RGB_TO = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
ENCODE = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode, 32773: imagecodecs.packbits_encode}


def picture(height: int, width: int) -> np.ndarray:
    """YCbCr [h, w, 3] of smooth colours."""
    y, x = np.mgrid[0:height, 0:width] / 40
    rgb = np.stack([127 + 120 * np.sin(x + y), 127 + 120 * np.cos(2 * x - y), 127 + 120 * np.sin(x * y)], -1)
    return np.clip(np.rint(rgb @ RGB_TO.T + (0, 128, 128)), 0, 255).astype(np.uint8)


def units(pixels: np.ndarray, across: int, down: int) -> bytes:
    """The data units of a segment, one by one as section 21 says; pixels that are missing repeat the last ones."""
    height, width = pixels.shape[:2]
    out = bytearray()
    for top in range(0, height, down):
        for left in range(0, width, across):
            rows, columns = (np.minimum(np.arange(n) + at, end - 1) for n, at, end in ((down, top, height), (across, left, width)))
            unit = pixels[np.ix_(rows, columns)]
            out += unit[..., 0].tobytes() + bytes(np.rint(unit[..., 1:].reshape(-1, 2).mean(0)).astype(np.uint8))
    return bytes(out)


def written(
    path: Path, pixels: np.ndarray, ratio: tuple[int, int], cut: tuple[int, int], code: int = 1, *, tiled: bool = False, **more: object
) -> Path:
    """A page of YCbCr in segments of `cut` rows and columns."""
    (height, width), (high, wide) = pixels.shape[:2], cut
    segments = []
    for top in range(0, height, high):
        for left in range(0, width, wide):
            part = pixels[top : top + high, left : left + wide]
            if tiled:
                part = np.pad(part, ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0)), "edge")
            segments.append(ENCODE[code](units(part, *ratio)))
    offsets = [8 + sum(map(len, segments[:n])) for n in range(len(segments))]
    counts = [*map(len, segments)]
    places = {322: (4, [wide]), 323: (4, [high]), 324: (4, offsets), 325: (4, counts)} if tiled else {}
    places = places or {273: (4, offsets), 278: (4, [high]), 279: (4, counts)}
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8, 8, 8]), 259: (3, [code]), 262: (3, [6]), 277: (3, [3]), 530: (3, [*ratio])}
    tags |= places | {int(name.removeprefix("t")): value for name, value in more.items()} | {"data": b"".join(segments)}
    save(path, build([{tag: value for tag, value in tags.items() if value != "absent"}]))
    return path


def check(folder: Path, *how: object, most: int = 1, **more: object) -> None:
    """Of what is not compressed Pillow asks libtiff only for what it knows itself, so libtiff is shown the same compressed."""
    image, reader = opened(written(folder / "x.tif", *how, **more))
    path = written(folder / "lzw.tif", *how[:3], 5, **more) if len(how) < 4 or how[3] == 1 else folder / "x.tif"
    with closing(reader), Pillow.open(path) as expected:
        assert image.rgb and image.dtype == "uint8"
        found = whole(reader, image.planes[0]).astype(int)
        assert np.abs(found - np.asarray(expected.convert("RGB"))).max() <= most
        assert np.ptp(found) > 150


@pytest.mark.parametrize("ratio", [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)])
@pytest.mark.parametrize("code", ENCODE)
def test_data_units_in_strips(tmp_path: Path, ratio: tuple[int, int], code: int) -> None:
    check(tmp_path, picture(53, 61), ratio, (16, 61), code)


@pytest.mark.parametrize("ratio", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_data_units_in_one_strip_and_in_tiles(tmp_path: Path, ratio: tuple[int, int]) -> None:
    check(tmp_path, picture(53, 61), ratio, (53, 61))
    check(tmp_path, picture(53, 61), ratio, (32, 48), 8, tiled=True)


def test_without_a_tag_two_by_two_pixels_share_their_chroma(tmp_path: Path) -> None:
    check(tmp_path, picture(40, 48), (2, 2), (40, 48), t530="absent")


@pytest.mark.parametrize("ratio", [(1, 1), (2, 2)])
def test_coefficients_and_reference_values(tmp_path: Path, ratio: tuple[int, int]) -> None:
    pixels = np.clip(picture(40, 48), 16, 235)
    more = {"t529": (5, [2126, 10_000, 7152, 10_000, 722, 10_000]), "t532": (5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])}
    check(tmp_path, pixels, ratio, (16, 48), most=3, **more)  # libtiff cuts chroma down to whole numbers first


def test_reference_values_by_the_inverse_of_what_makes_ycbcr_of_rgb(tmp_path: Path) -> None:
    red, _, blue = luma = np.array([0.2126, 0.7152, 0.0722])
    to_ycbcr = np.stack([luma, (np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)])
    pixels = np.clip(picture(40, 48), 16, 235)
    full = (pixels - np.array([16, 128, 128])) * (255 / 219, 127 / 112, 127 / 112)
    expected = np.clip(full @ np.linalg.inv(to_ycbcr).T, 0, 255)
    more = {"t529": (5, [2126, 10_000, 7152, 10_000, 722, 10_000]), "t532": (5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])}
    image, reader = opened(written(tmp_path / "x.tif", pixels, (1, 1), (16, 48), **more))
    with closing(reader):
        assert np.abs(whole(reader, image.planes[0]) - expected).max() < 0.502


def test_pages_of_other_coefficients_are_told_apart(tmp_path: Path) -> None:
    """Of planes of one kind only the first is interpreted."""
    pages = []
    for luma in ((2990, 5870, 1140), (2126, 7152, 722)):
        data = imagecodecs.lzw_encode(picture(20, 24).tobytes())
        tags = {256: (4, [24]), 257: (4, [20]), 258: (3, [8, 8, 8]), 259: (3, [5]), 262: (3, [6]), 273: (4, None), 277: (3, [3])}
        parts = [number for part in luma for number in (part, 10_000)]
        pages.append(tags | {278: (4, [20]), 279: (4, [len(data)]), 529: (5, parts), 530: (3, [1, 1]), "data": data})
    image, reader = opened(save(tmp_path / "x.tif", build(pages)))
    with closing(reader), Pillow.open(tmp_path / "x.tif") as expected:
        for number, plane in enumerate(image.planes):
            expected.seek(number)
            assert np.abs(whole(reader, plane).astype(int) - np.asarray(expected.convert("RGB"))).max() <= 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"t258": (3, [16, 16, 16])}, "YCbCr colours of 3 samples of 16 bits"),
        ({"t284": (3, [2])}, "each stored apart"),
        ({"t530": (3, [3, 1])}, "chroma for 3 x 1 pixels"),
        ({"t317": (3, [2])}, "a predictor over subsampled YCbCr colours"),
        ({"t529": (5, [1, 0, 1, 1, 1, 1])}, "divides by 0"),
        ({"t529": (5, [1, 2, 0, 1, 1, 2])}, "give no colours"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, more: dict, reason: str) -> None:
    assert reason in refusal(written(tmp_path / "x.tif", picture(40, 48), (2, 2), (40, 48), **more))


def test_a_strip_that_is_cut_off_is_corrupt(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tif", picture(40, 48), (2, 2), (40, 48), t279=(4, [2000]))
    image, reader = opened(path)
    with closing(reader), pytest.raises(Exception, match="segment 0 is corrupt"):
        whole(reader, image.planes[0])
