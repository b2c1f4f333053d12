"""Hamamatsu's NDPI, built as OpenSlide describes it: one JPEG with restart markers a page, 64-bit offsets, levels and macro as pages."""

from contextlib import closing

import imagecodecs
import numpy as np
import pytest
import tifffile
from ndpi import BASE, HIGH, WIDE, jpeg, ndpi, page, save, slide
from reading import opened, refusal, whole
from tiffs import coordinates

from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader


@pytest.mark.parametrize("name", ["x.ndpi", "X.NDPI", "renamed.tif"])
@pytest.mark.parametrize("base", [0, BASE])
def test_a_slide_with_levels_and_macro(tmp_path, name, base):
    pixels = slide(160, 256)
    pages = [page(pixels, 40.0), page(pixels[::2, ::2][:80, :128], 20.0), page(slide(64, 128), -1.0), page(slide(48, 64), -2.0)]
    path = save(tmp_path / name, ndpi(pages, base))
    image, reader = opened(path)
    with closing(reader):
        layout = image.layouts[0]
        assert (image.height, image.width, image.rgb, image.size_z) == (160, 256, True, 1)
        assert (layout.segment_height, layout.segment_width) == (HIGH, WIDE)
        assert image.sizes["x"].value == pytest.approx(0.25)
        assert any("1 page of lower resolution left out" in note for note in image.notes)
        got = whole(reader, image.planes[0])
    as_one = imagecodecs.jpeg8_decode(jpeg(pixels)[0])
    assert np.abs(got - as_one.astype(int)).max() <= 4  # chroma is spread across the borders of intervals only there
    assert np.abs(got - pixels.astype(int)).max() <= 12
    assert [one.name for one in tiff.open_images(path, images="all")] == ["", "macro", "macro mask"]
    (smaller,) = tiff.open_images(path, reduced_by=2)
    with closing(Reader(smaller)) as reader:
        assert (smaller.reduced_by, smaller.layouts[0].width) == (2, 128)
        assert np.abs(whole(reader, smaller.planes[0]) - pixels[::2, ::2].astype(int)).max() <= 12


def test_tifffile_sees_the_same(tmp_path):
    """The builder makes what another reader takes for NDPI."""
    pixels = slide(160, 256)
    path = save(tmp_path / "x.ndpi", ndpi([page(pixels, 40.0), page(slide(64, 128), -1.0)], BASE))
    with tifffile.TiffFile(path) as file:
        assert file.is_ndpi
        assert [one.name for one in file.series][1] == "Macro"
        assert np.abs(file.pages[0].asarray() - pixels.astype(int)).max() <= 12


def test_focal_planes_are_slices(tmp_path):
    stack = [slide(64, 128, shift * 40) for shift in range(3)]
    pages = [page(pixels, 20.0, focus) for focus, pixels in enumerate(stack)] + [page(slide(32, 64), 10.0)]
    image, reader = opened(save(tmp_path / "x.ndpi", ndpi(pages)))
    with closing(reader):
        assert (image.size_z, image.size_t) == (3, 1)
        for plane, pixels in zip(image.planes, stack, strict=True):
            assert np.abs(whole(reader, plane) - pixels.astype(int)).max() <= 14


def test_a_side_that_jpeg_cannot_state(tmp_path):
    pixels = np.repeat(slide(16, 1024), 65, 1)  # 66560 wide: the JPEG says 0
    image, reader = opened(save(tmp_path / "x.ndpi", ndpi([page(pixels, 40.0)])))
    with closing(reader):
        assert np.abs(whole(reader, image.planes[0]) - pixels.astype(int)).max() <= 14


@pytest.mark.parametrize(
    ("starts", "reason"),
    [
        ([700] * 40, "not in the file"),
        ([900, 800] + [700] * 38, "not in the file"),
        ([700] + [1 << 31] * 39, "not in the file"),
        ([700, 800], "segments"),
        ([700], "no list"),
    ],
)
def test_nonsense_in_the_starts_is_refused(tmp_path, starts, reason):
    tags, data = page(slide(160, 256), 40.0)
    tags[65426] = (4, starts)
    assert reason in refusal(save(tmp_path / "x.ndpi", ndpi([(tags, data)])))


def test_a_cut_slide_is_refused(tmp_path):
    (_, head), (begin, body) = ndpi([page(slide(160, 256), 40.0)])
    refusal(save(tmp_path / "x.ndpi", [(0, head), (begin, body[: len(body) // 2])]))


def test_a_fluorescence_slide_has_16_bits_whatever_its_tags_say(tmp_path):
    pixels = coordinates((40, 60))
    tags, _ = page(slide(64, 128), 20.0)
    data = imagecodecs.jpegxr_encode(pixels, level=1.0)
    tags |= {256: (4, [60]), 257: (4, [40]), 278: (4, [40]), 279: (4, [len(data)]), 259: (3, [22610]), 65441: (4, [17])}
    del tags[65426], tags[530]
    image, reader = opened(save(tmp_path / "x.ndpi", ndpi([(tags, data)])))
    with closing(reader):
        assert (image.size_c, image.dtype) == (1, "uint16")
        np.testing.assert_array_equal(whole(reader, image.planes[0])[..., 0], pixels)


def test_pages_without_end_are_refused_soon(tmp_path):
    tags, _ = page(slide(16, 64), 20.0)
    assert "more than 500 pages" in refusal(save(tmp_path / "x.ndpi", ndpi([(tags, b"x")] * 600)))


def test_an_ordinary_tiff_called_ndpi(tmp_path):
    pixels = coordinates((20, 30))
    tifffile.imwrite(tmp_path / "x.ndpi", pixels, metadata=None)
    image, reader = opened(tmp_path / "x.ndpi")
    with closing(reader):
        np.testing.assert_array_equal(whole(reader, image.planes[0])[..., 0], pixels)
