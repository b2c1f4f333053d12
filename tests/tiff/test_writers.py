"""TIFFs as libtiff and libvips write them, and tifffile does not; pixels encode their own place.

The oracle is the array that was written; for lossy codecs what libvips decodes (through libtiff and its own codecs), and the array within
what the codec may lose. Needs the Debian packages libtiff-tools and libvips-tools.
"""

import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import accesses, collect, opened, refusal, whole
from tiffs import build, coordinates, grey, save

from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader

libtiff = pytest.mark.skipif(not all(map(shutil.which, ["tiffcp", "fax2tiff", "tiffset"])), reason="needs libtiff-tools")
vips = pytest.mark.skipif(not shutil.which("vips"), reason="needs libvips-tools")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def smooth(height, width):
    """Colours that lossy codecs keep within a few steps, and that tell each place: ramps along x, y and both."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def plain(path, pixels, **options):
    """The array as an uncompressed TIFF for the tools to read: [y, x] or [y, x, 3]."""
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, **{"photometric": photometric, "metadata": None, **options})
    return path


def decoded_by_vips(path, shape, dtype="uint8", page=""):
    """The pixels [y, x, bands] that libvips sees."""
    raw = Path(path).with_suffix(".raw")
    run("vips", "rawsave", f"{path}{page}", raw)
    return np.frombuffer(raw.read_bytes(), dtype).reshape(shape)


def assert_close(path, got, pixels):
    """Within rounding what libvips decodes, everywhere, and by and large what was written (at the image's edge tiles ring)."""
    assert np.abs(got - decoded_by_vips(path, pixels.shape).astype(int)).max() <= 2
    assert np.abs(got - pixels.astype(int)).mean() <= 4


def decoded(path):
    """All channels [y, x, c] of the one plane that the file shows, the same by every access; and the image."""
    image, reader = opened(path)
    with closing(reader):
        assert (image.size_t, image.size_z) == (1, 1)
        parts = []
        for plane in image.planes:
            layout = image.layouts[plane.layout]
            part = whole(reader, plane)
            for access in accesses(layout):
                np.testing.assert_array_equal(whole(reader, plane, access), part)
            with tempfile.TemporaryFile() as file:
                reader.spool(plane, file.fileno(), 0)
                rect = Rect(0, image.height, 0, image.width)
                spooled = collect(reader.read_spooled(plane, rect, file.fileno(), 0), rect, layout.samples, layout.dtype)
                np.testing.assert_array_equal(spooled, part)
            parts.append(part)
    return np.concatenate(parts, -1), image


@libtiff
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_libtiff_writes_without_loss(data):
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]))
    height, width = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 150))
    samples = data.draw(st.sampled_from([1, 3]))
    codec = data.draw(st.sampled_from(["none", "lzw", "zip", "packbits", "zstd", "lzma", "lerc"]))
    predictor = data.draw(st.sampled_from(["", ":2", ":3"] if dtype[0] == "f" else ["", ":2"])) if codec in ("lzw", "zip", "zstd") else ""
    if predictor == ":2" and dtype == "float64":
        predictor = ""  # libtiff refuses
    if codec == "lerc":
        predictor = ":0" + data.draw(st.sampled_from(["", ":s1", ":s2"]))
    cut = data.draw(st.sampled_from(["-r 1", "-r 7", "-r 64", "-t -w 48 -l 80", "-t -w 16 -l 112"])).split()
    more = [option for option in ("-8", "-B") if data.draw(st.booleans())]
    more = [option for option in more if (option, predictor) != ("-B", ":3")]  # libtiff itself does not get that back (4.5)
    more += ["-f", data.draw(st.sampled_from(["lsb2msb", "msb2lsb"]))]
    more += ["-p", "separate"] if dtype == "uint8" and data.draw(st.booleans()) else []  # tiffcp takes only bytes apart
    pixels = coordinates((height, width), dtype, samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tif"
        run("tiffcp", "-c", codec + predictor, *cut, *more, plain(Path(folder) / "plain.tif", pixels), path)
        got, image = decoded(path)
        assert (image.size_c, image.rgb, image.dtype) == (samples, samples == 3, dtype)
        np.testing.assert_array_equal(got, pixels.reshape(height, width, samples))


@libtiff
@pytest.mark.parametrize("order", ["lsb2msb", "msb2lsb"])
@pytest.mark.parametrize("rows", [1, 13, 400])
@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("codec", ["g3", "g3:1d:fill", "g3:2d", "g4", "packbits", "lzw", "none"])
def test_bits_by_every_fax_codec(tmp_path, codec, white, rows, order):
    bits = coordinates((61, 83), "uint8") % 7 < 3
    base = plain(tmp_path / "plain.tif", bits, photometric="miniswhite" if white else "minisblack")
    run("tiffcp", "-c", codec, "-r", rows, "-f", order, base, tmp_path / "x.tif")
    got, image = decoded(tmp_path / "x.tif")
    assert image.dtype == "uint8"
    np.testing.assert_array_equal(got[..., 0], ~bits if white else bits)


@libtiff
@pytest.mark.parametrize("group", ["-1", "-2", "-4"])
def test_a_page_from_a_fax_machine(tmp_path, group):
    bits = coordinates((64, 80), "uint8") % 5 < 2
    codec = {"-1": "g3:1d", "-2": "g3:2d", "-4": "g4"}[group]
    run("tiffcp", "-c", codec, "-r", 64, plain(tmp_path / "plain.tif", bits, photometric="miniswhite"), tmp_path / "raw.tif")
    with tifffile.TiffFile(tmp_path / "raw.tif") as file:
        file.filehandle.seek(file.pages[0].dataoffsets[0])
        (tmp_path / "raw.fax").write_bytes(file.filehandle.read(file.pages[0].databytecounts[0]))
    run("fax2tiff", {"-1": "-3", "-2": "-3", "-4": "-4"}[group], group, "-M", "-X", 80, "-o", tmp_path / "x.tif", tmp_path / "raw.fax")
    got, _ = decoded(tmp_path / "x.tif")
    np.testing.assert_array_equal(got[:64, :, 0], ~bits)


@libtiff
@vips
@pytest.mark.parametrize("cut", [["-r", "16"], ["-r", "32"], ["-r", "400"], ["-t", "-w", "48", "-l", "80"]])
@pytest.mark.parametrize("codec", ["jpeg:95", "jpeg:r:95", "webp:95"])
def test_lossy_colours_in_strips_and_tiles(tmp_path, codec, cut):
    pixels = smooth(107, 131)
    run("tiffcp", "-c", codec, *cut, plain(tmp_path / "plain.tif", pixels), tmp_path / "x.tif")
    got, image = decoded(tmp_path / "x.tif")
    assert image.rgb
    assert_close(tmp_path / "x.tif", got, pixels)


@libtiff
@pytest.mark.parametrize("cut", [["-r", "16"], ["-t", "-w", "32", "-l", "48"]])
@pytest.mark.parametrize("codec", ["none", "packbits", "lzw", "zip"])
def test_ycbcr_without_jpeg(tmp_path, codec, cut):
    run("tiffcp", "-c", codec, *cut, plain(tmp_path / "plain.tif", smooth(40, 48)), tmp_path / "x.tif")
    run("tiffset", "-s", 262, 6, tmp_path / "x.tif")
    run("tiffset", "-s", 530, 1, 1, tmp_path / "x.tif")
    run("tiff2rgba", "-c", "none", tmp_path / "x.tif", tmp_path / "rgba.tif")
    got, image = decoded(tmp_path / "x.tif")
    assert image.rgb
    assert np.abs(got.astype(int) - tifffile.imread(tmp_path / "rgba.tif")[..., :3]).max() <= 1


@vips
@pytest.mark.parametrize(("space", "reason"), [("lab", "CIELab"), ("labs", "CIELab"), ("cmyk", "CMYK")])
def test_colour_spaces_of_print_are_refused(tmp_path, space, reason):
    run("vips", "colourspace", plain(tmp_path / "plain.tif", smooth(40, 48)), tmp_path / "x.tif", space)
    assert f"colours as {reason}; convert it to RGB" in refusal(tmp_path / "x.tif")


@vips
@pytest.mark.parametrize("tile", [(16, 16), (48, 80), (128, 32)])
@pytest.mark.parametrize("subifd", [[], ["--subifd"]])
@pytest.mark.parametrize("options", [["deflate"], ["lzw"], ["zstd"], ["none"], ["packbits"], ["webp", "--lossless"]])
def test_pyramids_of_libvips(tmp_path, options, subifd, tile):
    pixels = coordinates((211, 333), "uint8", 3)
    base = plain(tmp_path / "plain.tif", pixels)
    size = ["--tile-width", tile[0], "--tile-height", tile[1]]
    run("vips", "tiffsave", base, tmp_path / "x.tif", "--tile", "--pyramid", *subifd, *size, "--compression", *options)
    got, image = decoded(tmp_path / "x.tif")
    assert len(tiff.open_images(str(tmp_path / "x.tif"), images="all")) == 1
    np.testing.assert_array_equal(got, pixels)
    layout = image.layouts[0]
    assert (layout.segment_width, layout.segment_height) == tile


@vips
@pytest.mark.parametrize("tile", [(48, 80), (128, 32)])
@pytest.mark.parametrize("subifd", [[], ["--subifd"]])
def test_jpeg2000_of_libvips_is_ycbcr_without_a_word(tmp_path, subifd, tile):
    pixels = coordinates((211, 333), "uint8", 3)
    options = ["--tile", "--pyramid", "--tile-width", tile[0], "--tile-height", tile[1], "--compression", "jp2k", "--lossless"]
    run("vips", "tiffsave", plain(tmp_path / "plain.tif", pixels), tmp_path / "x.tif", *subifd, *options)
    got, image = decoded(tmp_path / "x.tif")
    assert image.rgb
    assert np.abs(got - pixels.astype(int)).max() <= 2  # what rounding to YCbCr and back takes


@vips
@pytest.mark.parametrize("compression", [33003, 33005, 34712])
def test_subsampled_jpeg2000_is_converted_once(tmp_path, compression):
    pixels = smooth(96, 128)
    base = plain(tmp_path / "plain.tif", pixels)
    run("vips", "jp2ksave", base, tmp_path / "x.jp2", "--subsample-mode", "on", "--Q", 90, "--tile-width", 128, "--tile-height", 96)
    boxes = (tmp_path / "x.jp2").read_bytes()
    data = boxes[boxes.index(b"\xff\x4f\xff\x51") :]
    tags = {"t258": (3, [8, 8, 8]), "t259": (3, [compression]), "t262": (3, [2]), "t277": (3, [3]), "t270": (2, b"Aperio Image\0")}
    got, _ = decoded(save(tmp_path / "x.tif", build([grey(data, 128, 96, **tags)])))
    assert data[46:48] == b"\2\2"
    assert np.abs(got - pixels.astype(int)).mean() <= 3


@vips
@pytest.mark.parametrize(("subifd", "page"), [([], "[page=1]"), (["--subifd"], "[subifd=0]")])
def test_a_stored_level_of_libvips_is_taken_where_it_is_exact(tmp_path, subifd, page):
    base = plain(tmp_path / "plain.tif", coordinates((208, 336), "uint8", 3))
    run("vips", "tiffsave", base, tmp_path / "x.tif", "--tile", "--pyramid", *subifd, "--tile-width", 48, "--tile-height", 48)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"), reduced_by=2)
    assert image.reduced_by == 2
    with closing(Reader(image)) as reader:
        got = whole(reader, image.planes[0])
    np.testing.assert_array_equal(got, decoded_by_vips(tmp_path / "x.tif", (104, 168, 3), page=page))


@vips
@pytest.mark.parametrize(("bits", "white"), [(1, []), (1, ["--miniswhite"]), (2, []), (4, [])])
def test_few_bits_by_libvips(tmp_path, bits, white):
    levels = coordinates((45, 68), "uint8") % (1 << bits)  # libvips spoils the last column of an odd width
    grey = (levels.astype(int) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    run("vips", "tiffsave", plain(tmp_path / "plain.tif", grey), tmp_path / "x.tif", "--bitdepth", bits, *white)
    got, _ = decoded(tmp_path / "x.tif")
    np.testing.assert_array_equal(got[..., 0], levels)


@vips
def test_libvips_jpeg_and_jpeg2000_with_loss(tmp_path):
    pixels = smooth(150, 170)
    for codec in ("jpeg", "jp2k"):
        options = ["--tile", "--tile-width", 64, "--tile-height", 64, "--Q", 90]
        run("vips", "tiffsave", plain(tmp_path / "plain.tif", pixels), tmp_path / "x.tif", "--compression", codec, *options)
        got, image = decoded(tmp_path / "x.tif")
        assert image.rgb
        assert_close(tmp_path / "x.tif", got, pixels)
