"""Hamamatsu's NDPI, built as OpenSlide describes it: one JPEG with restart markers a page, 64-bit offsets, levels and macro as pages."""

import struct
from contextlib import closing

import imagecodecs
import numpy as np
import pytest
import tifffile
from test_reader import opened, whole
from test_tiff import refusal
from tiffs import FORMATS, coordinates

from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader

WIDE, HIGH = 64, 16  # pixels from restart marker to restart marker: four MCUs of 16 x 16
BASE = 6 << 30


def jpeg(pixels):
    """A JPEG of restart intervals, the size of its header, and the starts of its intervals; sides are multiples of WIDE and HIGH."""
    stream, starts = bytearray(), []
    for number, (y, x) in enumerate(np.ndindex(pixels.shape[0] // HIGH, pixels.shape[1] // WIDE)):
        tile = pixels[y * HIGH : (y + 1) * HIGH, x * WIDE : (x + 1) * WIDE]
        data = imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=95, subsampling="420")
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        begin = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        if not stream:
            restart = struct.pack(">HHH", 0xFFDD, 4, WIDE // 16)
            sides = struct.pack(">HH", *(side if side < 1 << 16 else 0 for side in pixels.shape[:2]))
            stream += data[: frame + 5] + sides + data[frame + 9 : scan] + restart + data[scan:begin]
        starts.append(len(stream))
        stream += data[begin:-2] + bytes([0xFF, 0xD0 + number % 8])
    stream[-1] = 0xD9
    return bytes(stream), starts


def page(pixels, scale, focus=0, first=False):
    data, starts = jpeg(pixels)
    tags = {256: (4, [pixels.shape[1]]), 257: (4, [pixels.shape[0]]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6]), 273: (4, None),
            271: (2, b"Hamamatsu\0"), 277: (3, [3]), 278: (4, [pixels.shape[0]]), 279: (4, [len(data)]), 284: (3, [1]), 530: (3, [2, 2]),
            282: (5, struct.pack("<II", 40000, 1)), 283: (5, struct.pack("<II", 40000, 1)), 296: (3, [3]),
            65420: (4, [1]), 65421: (11, struct.pack("<f", scale)), 65424: (9, struct.pack("<i", focus)), 65426: (4, starts)}  # fmt: skip
    if scale < 0:
        del tags[65426]
    return tags, data


def ndpi(pages, base=0):
    """The parts of a file, from byte `base` on but for its header, as (offset, bytes)."""
    body, links = bytearray(), []
    begin = max(base, 12)
    for tags, data in pages:
        place = begin + len(body)
        body += data
        low, high = [], []
        for code, (kind, values) in sorted(tags.items()):
            values = [place] if values is None else values
            count = {2: len(values), 5: 1, 9: 1, 11: 1}.get(kind, len(values))
            if code == 273:
                raw = struct.pack("<Q", place)
            else:
                raw = values if isinstance(values, bytes) else struct.pack(f"<{count}{FORMATS[kind]}", *values)
                if len(raw) > 4:
                    at = begin + len(body)
                    body += raw
                    raw = struct.pack("<Q", at)
            raw = raw.ljust(8, b"\0")
            low.append(struct.pack("<HHI", code, kind, count) + raw[:4])
            high.append(raw[4:])
        if links:
            struct.pack_into("<Q", body, links[-1], begin + len(body))
        else:
            first = begin + len(body)
        body += struct.pack("<H", len(low)) + b"".join(low)
        links.append(len(body))
        body += bytes(8) + b"".join(high)
    return [(0, b"II*\0" + struct.pack("<Q", first)), (begin, bytes(body))]


def save(path, parts):
    with open(path, "wb") as file:
        for offset, content in parts:
            file.seek(offset)
            file.write(content)
    return str(path)


def slide(height, width, shift=0):
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + shift) * 255 // (width + shift), y * 255 // height, 255 - (x + y) * 255 // (width + height)], -1).astype(np.uint8)


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
        assert any("1 pages of lower resolution" in note for note in image.notes)
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
