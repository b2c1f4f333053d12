"""Every access to every layout yields the pixels that were written, for any rectangle, in blocks as promised."""

import os
import tempfile
from contextlib import closing

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import accesses, collect, opened, whole
from tiffs import build, coordinates, grey, save

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Rect


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_rectangle_by_any_access_is_that_part_of_the_plane(data):
    height, width = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    samples = data.draw(st.sampled_from([1, 3, 4]))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]))
    compression = data.draw(st.sampled_from([None, "zlib", "lzw", "packbits", "zstd"]))
    predictor = data.draw(st.sampled_from([None, 3 if dtype[0] == "f" else 2])) if compression not in (None, "packbits") else None
    tile = data.draw(st.sampled_from([None, (16, 16), (32, 16), (16, 48)]))
    planar = samples > 1 and data.draw(st.booleans())
    rows = data.draw(st.integers(1, 80))
    pixels = coordinates((height, width), dtype, samples)
    stored = np.moveaxis(pixels, -1, 0) if planar else pixels
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.tif"
        tifffile.imwrite(
            path, stored, compression=compression, predictor=predictor, tile=tile, rowsperstrip=None if tile else rows, metadata=None,
            photometric="rgb" if samples > 1 else "minisblack", planarconfig=("separate" if planar else "contig") if samples > 1 else None,
            byteorder=data.draw(st.sampled_from("<>")), bigtiff=data.draw(st.booleans()),
        )  # fmt: skip
        image, reader = opened(path)
        with closing(reader):
            expected = pixels.reshape(height, width, samples)
            assert (image.size_c, image.height, image.width, image.dtype) == (samples, height, width, dtype)
            for number, plane in enumerate(image.planes):
                layout = image.layouts[plane.layout]
                part = expected[..., number : number + 1] if planar else expected
                for access in accesses(layout):
                    for _ in range(3):
                        y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
                        rect = Rect(y0, data.draw(st.integers(y0 + 1, height)), x0, data.draw(st.integers(x0 + 1, width)))
                        got = collect(reader.read(plane, rect, access), rect, layout.samples, layout.dtype)
                        np.testing.assert_array_equal(got, part[rect.y0 : rect.y1, rect.x0 : rect.x1])
                with tempfile.TemporaryFile() as spooled:
                    offset = data.draw(st.sampled_from([0, 4096, 12345 * np.dtype(dtype).itemsize]))
                    reader.spool(plane, spooled.fileno(), offset)
                    got = collect(reader.read_spooled(plane, rect, spooled.fileno(), offset), rect, layout.samples, layout.dtype)
                    np.testing.assert_array_equal(got, part[rect.y0 : rect.y1, rect.x0 : rect.x1])


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    planes=st.integers(2, 4),
    d=st.sampled_from([1, 2, 4, 8]),
    stored=st.sampled_from([{"rowsperstrip": rows} for rows in (3, 8, 16, 1000)] + [{"tile": (16, 32)}]),
    byteorder=st.sampled_from("<>"),
    data=st.data(),
)
def test_planes_that_are_read_together_come_in_whole_boxes(sides, planes, d, stored, byteorder, data):
    pixels = coordinates((planes, *sides))
    with tempfile.TemporaryDirectory() as folder:
        tifffile.imwrite(f"{folder}/x.tif", pixels, metadata=None, photometric="minisblack", byteorder=byteorder, **stored)
        image, reader = opened(f"{folder}/x.tif", piece=data.draw(st.sampled_from([100, 1000, 1 << 18])))
        with closing(reader):
            together = [plane for plane in image.planes if plane]
            ends = stored.get("tile", (stored.get("rowsperstrip", 0), 1000))
            assert reader.stacks(together, d) == all(end % d == 0 or end >= side for end, side in zip(ends, sides, strict=True))
            assert not reader.stacks([together[0], None], d)
            if not reader.stacks(together, d):
                return
            y0, x0 = (data.draw(st.integers(0, (side - 1) // d)) * d for side in sides)
            got = np.full((planes, *sides), 7777, "uint16")
            for y, x, block in reader.read_stack(together, Rect(y0, sides[0], x0, sides[1]), d):
                assert y % d == x % d == 0
                got[:, y : y + block.shape[1], x : x + block.shape[2]] = block[..., 0]
                assert all((at + n) % d == 0 or at + n == side for at, n, side in zip((y, x), block.shape[1:3], sides, strict=True))
            np.testing.assert_array_equal(got[:, y0:, x0:], pixels[:, y0:, x0:])


@pytest.mark.parametrize("predictor", [None, 2])
@pytest.mark.parametrize("byteorder", "<>")
def test_a_stream_goes_on_and_starts_again(tmp_path, predictor, byteorder):
    pixels = coordinates((400, 300))
    tifffile.imwrite(
        tmp_path / "x.tif", pixels, compression="zlib", predictor=predictor, rowsperstrip=400, byteorder=byteorder, metadata=None
    )
    image, reader = opened(tmp_path / "x.tif")
    rows = [(0, 100), (100, 130), (200, 300), (50, 60), (60, 61), (399, 400), (0, 400)]
    for (y0, y1), (x0, x1) in zip(rows, [(0, 300), (0, 300), (5, 60), (0, 1), (0, 300), (299, 300), (0, 300)], strict=True):
        rect = Rect(y0, y1, x0, x1)
        got = collect(reader.read(image.planes[0], rect, "stream"), rect, 1, "uint16")
        np.testing.assert_array_equal(got[..., 0], pixels[y0:y1, x0:x1])
    reader.close()


def test_a_wide_raw_strip_is_read_in_pieces_and_no_more_than_needed(tmp_path, monkeypatch):
    pixels = coordinates((64, 40000))
    tifffile.imwrite(tmp_path / "x.tif", pixels, rowsperstrip=64, metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    asked = []
    preadv = os.preadv

    def counting(fd, buffers, offset):
        asked.append(sum(len(buffer) for buffer in buffers))
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", counting)
    rect = Rect(3, 60, 1000, 1200)
    got = collect(reader.read(image.planes[0], rect, "rows"), rect, 1, "uint16")
    np.testing.assert_array_equal(got[..., 0], pixels[3:60, 1000:1200])
    assert sum(asked) == rect.height * rect.width * 2
    rect = Rect(0, 64, 0, 40000)
    sizes = [block.nbytes for _, _, block in reader.read(image.planes[0], rect, "rows")]
    assert max(sizes) <= 1 << 20
    assert len(sizes) > 4
    reader.close()


@pytest.mark.parametrize("tile", [None, (32, 32)])
@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "jpegxl", "webp", "png", "lzma", "jpegxr"])
def test_codecs(tmp_path, compression, tile):
    pixels = np.clip(np.add.outer(np.arange(64), np.arange(96))[..., None] * [1.0, 0.7, 1.5], 0, 255).astype(np.uint8)
    options = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    tifffile.imwrite(tmp_path / "x.tif", pixels, compression=compression, tile=tile, photometric="rgb", metadata=None, **options)
    image, reader = opened(tmp_path / "x.tif")
    got = whole(reader, image.planes[0])
    assert image.rgb
    assert np.abs(got.astype(int) - pixels).max() <= (12 if compression in ("jpeg", "jpegxl", "jpegxr") else 0)
    reader.close()


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("white", [False, True])
def test_packed_bits_and_miniswhite(tmp_path, bits, white):
    values = coordinates((9, 13), "uint16") % (1 << bits)
    rows = b""
    for line in values:
        text = "".join(f"{value:0{bits}b}" for value in line)
        text = text.ljust(-(-len(text) // 8) * 8, "0")
        rows += int(text, 2).to_bytes(len(text) // 8, "big")
    path = save(tmp_path / "x.tif", build([grey(rows, 13, 9, bits=bits, t262=(3, [0 if white else 1]))]))
    image, reader = opened(path)
    assert image.dtype == ("uint8" if bits <= 8 else "uint16")
    got = whole(reader, image.planes[0])[..., 0]
    np.testing.assert_array_equal(got, (1 << bits) - 1 - values if white else values)
    reader.close()


def test_half_floats_are_floats(tmp_path):
    pixels = np.linspace(-5, 5, 60, dtype=np.float16).reshape(6, 10)
    tifffile.imwrite(tmp_path / "x.tif", pixels, metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    assert (image.dtype, image.stored_dtype) == ("float32", "float32")
    assert any("float16" in note for note in image.notes)
    for access in accesses(image.layouts[0]):
        np.testing.assert_array_equal(whole(reader, image.planes[0], access)[..., 0], pixels.astype(np.float32))
    reader.close()


def test_a_palette_of_colours_becomes_rgb(tmp_path):
    rng = np.random.default_rng(1)
    indices, table = rng.integers(0, 256, (8, 9), dtype=np.uint8), rng.integers(0, 256, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", indices, photometric="palette", colormap=table * 257, metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    assert (image.size_c, image.rgb, image.dtype) == (3, True, "uint8")
    np.testing.assert_array_equal(whole(reader, image.planes[0]), table.T[indices].astype(np.uint8))
    reader.close()


def test_a_palette_that_only_shows_intensities_keeps_them(tmp_path):
    indices = coordinates((8, 9), "uint8")
    table = np.zeros((3, 256), np.uint16)
    table[1] = np.arange(256) * 257
    tifffile.imwrite(tmp_path / "x.tif", indices, photometric="palette", colormap=table, metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    assert (image.size_c, image.rgb) == (1, False)
    np.testing.assert_array_equal(whole(reader, image.planes[0])[..., 0], indices)
    reader.close()


def test_sparse_tiles_of_a_plain_tiff_are_empty_and_said_so(tmp_path):
    tile = bytes(range(256))
    tags = {"t322": (3, [16]), "t323": (3, [16]), "t324": (4, [8, 0]), "t325": (4, [256, 0])}
    page = grey(tile, 32, 16, t278="absent", t273="absent", t279="absent", **tags)
    image, reader = opened(save(tmp_path / "x.tif", build([page])))
    assert any("sparse" in note for note in image.notes)
    for access in accesses(image.layouts[0]):
        got = whole(reader, image.planes[0], access)[..., 0]
        assert got[:, :16].tobytes() == tile
        assert not got[:, 16:].any()
    reader.close()


def damaged(path, find, replacement):
    content = bytearray(path.read_bytes())
    at = content.rindex(find)
    content[at : at + len(replacement)] = replacement
    path.write_bytes(content)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "jpeg", "zstd"])
def test_a_corrupt_segment_names_file_image_plane_and_segment(tmp_path, compression):
    path = tmp_path / "bad.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64), "u1")
    tifffile.imwrite(path, pixels, tile=(32, 32), compression=compression, metadata={"axes": "ZYX"})
    image, reader = opened(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[1]
    content = bytearray(path.read_bytes())
    content[page.dataoffsets[2] : page.dataoffsets[2] + page.databytecounts[2]] = b"\xff" * page.databytecounts[2]
    path.write_bytes(content)
    for access in accesses(image.layouts[0]):
        with pytest.raises(InputError, match=r"bad\.ome\.tif: image 0, plane t=0 c=0 z=1: segment 2") as error:
            whole(reader, image.planes[1], access)
        assert "\n" not in str(error.value)
    with tempfile.TemporaryFile() as spooled, pytest.raises(InputError, match="segment 2"):
        reader.spool(image.planes[1], spooled.fileno(), 0)
    reader.close()


def test_a_file_that_is_cut_off_later_is_an_error_not_zeros(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, coordinates((64, 64)), metadata=None)
    image, reader = opened(path)
    os.truncate(path, os.path.getsize(path) // 2)
    for access in accesses(image.layouts[0]):
        with pytest.raises(InputError):
            whole(reader, image.planes[0], access)
    reader.close()


def test_a_jpeg_that_claims_gigapixels_is_not_decoded(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(32, 32), compression="jpeg", metadata=None)
    damaged(path, b"\xff\xc0\x00\x0b\x08\x00\x20\x00\x20", b"\xff\xc0\x00\x0b\x08\xff\xdc\xff\xdc")
    image, reader = opened(path)
    with pytest.raises(InputError, match="claims 65500 x 65500"):
        whole(reader, image.planes[0])
    reader.close()


def test_few_descriptors_for_a_set_of_many_files(tmp_path):
    names = [f"z{i}.ome.tif" for i in range(40)]
    data = "".join(
        f'<TiffData FirstZ="{i}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(names)
    )
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'Type="uint8" DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeZ="40" SizeC="1" SizeT="1">{data}</Pixels></Image></OME>'
    )
    for i, name in enumerate(names):
        save(tmp_path / name, build([grey(bytes([i] * 12), 4, 3, t270=(2, text.format(i).encode() + b"\0"))]))
    image, reader = opened(tmp_path / names[0])
    before = len(os.listdir("/proc/self/fd"))
    for i in [*range(40), 0, 39]:
        assert (whole(reader, image.planes[i]) == i).all()
        assert len(os.listdir("/proc/self/fd")) <= before + 10
    reader.close()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("options", [{"rowsperstrip": 512}, {"tile": (528, 704)}])
def test_the_checksum_of_a_stream_is_looked_at(tmp_path, options):
    """Also where it lies behind rows below the image."""
    pixels = np.random.default_rng(0).integers(0, 255, (512, 700), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="deflate", **options)
    image, reader = opened(tmp_path / "a.tif")
    with closing(reader):
        assert np.array_equal(whole(reader, image.planes[0], "stream")[..., 0], pixels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        last = file.pages.first.dataoffsets[0] + file.pages.first.databytecounts[0] - 1
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[last] ^= 1
    (tmp_path / "a.tif").write_bytes(content)
    image, reader = opened(tmp_path / "a.tif")
    with closing(reader), pytest.raises(InputError, match="segment 0 is corrupt"):
        whole(reader, image.planes[0], "stream")
