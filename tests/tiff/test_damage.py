"""Damaged segments are errors that name them, or lines of the log with ON_CORRUPT=warn; whole ones decode as imagecodecs decodes them."""

import re
import shutil
import subprocess
import tempfile
from contextlib import closing

import imagecodecs
import numpy as np
import pytest
import tifffile
from reading import opened, whole
from runs import digest

from omezarr_proc.cli import main
from omezarr_proc.engine.local import noted
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read import jpeg
from omezarr_proc.tiff.read.damage import DamagedError, look
from omezarr_proc.tiff.read.reader import Reader

needs_libtiff = pytest.mark.skipif(shutil.which("tiffcp") is None, reason="needs tiffcp")


def tissue(height=96, width=96):
    """Colours of smooth patches with grain."""
    chance = np.random.default_rng(1)
    patches = chance.integers(0, 200, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return (patches + chance.integers(0, 40, patches.shape)).astype(np.uint8)


def sliced(path, **options):
    """A slide in JPEG tiles; returns where its second tile is."""
    tifffile.imwrite(path, tissue(), tile=(48, 48), photometric="rgb", compression="jpeg", **options)
    return place(path, 1)


def place(path, index):
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return page.dataoffsets[index], page.databytecounts[index]


def changed(path, at, content):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


def refused(path, access="segment"):
    image, reader = opened(path)
    with closing(reader), pytest.raises(InputError) as caught:
        whole(reader, image.planes[0], access)
    return str(caught.value)


def spooled(path, on_damage=None):
    (image,) = tiff.open_images(str(path))
    layout = image.layouts[0]
    with closing(Reader(image, on_damage)) as reader, tempfile.TemporaryFile() as file:
        reader.spool(image.planes[0], file.fileno(), 0)
        file.seek(0)
        return np.frombuffer(file.read(), layout.dtype).reshape(layout.height, layout.width, layout.samples)


@pytest.mark.parametrize(
    ("cut", "then", "reason"),
    [
        (0.5, b"", "it has no end"),
        (0.5, b"\xff\xd9", "Premature end|premature end"),
        (0.97, b"\xff\xd9", "premature end"),
        (0.5, b"\xff\xd9middle", "data after its end"),
        (0.8, b"\xff\x00\xff\xd3", "extraneous bytes|no end"),
    ],
)
def test_a_tile_that_lacks_data_is_an_error_that_names_it(tmp_path, cut, then, reason):
    at, count = sliced(tmp_path / "a.tif")
    kept = int(count * cut)
    changed(tmp_path / "a.tif", at + kept, then.ljust(count - kept, b"m" if b"middle" in then else b"\0"))
    message = refused(tmp_path / "a.tif")
    assert re.fullmatch(
        rf".*a\.tif: image 0, plane t=0 c=0 z=0: segment 1 is damaged \(.*({reason}).*\); copy .*ON_CORRUPT=warn\)", message
    )


def test_wrong_codes_and_left_over_data_are_errors(tmp_path):
    at, count = sliced(tmp_path / "a.tif", compressionargs={"level": 90})
    with open(tmp_path / "a.tif", "rb") as file:
        data = file.read()[at : at + count]
    begin = data.index(b"\xff\xda") + 14
    changed(tmp_path / "a.tif", at + begin + 40, b"\0" * 300)
    assert "Corrupt JPEG data" in refused(tmp_path / "a.tif")


def test_a_marker_that_is_none_is_an_error(tmp_path):
    at, _ = sliced(tmp_path / "a.tif")
    changed(tmp_path / "a.tif", at + 20, b"abcd")
    assert "segment 1 is corrupt" in refused(tmp_path / "a.tif")
    with open(tmp_path / "a.tif", "rb") as file, pytest.raises(DamagedError, match=r"no marker at byte 20"):
        jpeg.decode(file.read()[at:], None, (None, 2), 3)


@pytest.mark.parametrize("padding", [b"", b"\0", b"x", b"\xff", b"\0" * 999, b"\xff\xff\0"])
def test_padding_after_the_end_is_none(padding):
    look(b"\xff\xd8..\xff\xd9" + padding, "jpeg")
    with pytest.raises(DamagedError, match="no end"):
        look(b"\xff\xd8.." + padding, "jpeg")


def test_a_jpegxr_that_is_cut_off_is_an_error():
    data = imagecodecs.jpegxr_encode(tissue(), level=90)
    look(data, "jpegxr")
    for cut in (1, 100, len(data) - 9, len(data) - 4):
        with pytest.raises(DamagedError, match=r"it ends at byte|its directory"):
            look(data[:-cut], "jpegxr")


@pytest.mark.parametrize("rows", [96, 40])
def test_a_huge_strip_is_judged_too(tmp_path, rows):
    tifffile.imwrite(tmp_path / "a.tif", tissue(), rowsperstrip=rows, photometric="rgb", compression="jpeg")
    image, reader = opened(tmp_path / "a.tif")
    with closing(reader):
        assert np.array_equal(spooled(tmp_path / "a.tif"), whole(reader, image.planes[0]))
    at, count = place(tmp_path / "a.tif", 96 // rows - 1)
    changed(tmp_path / "a.tif", at + count // 2, b"\xff\xd9".ljust(count - count // 2, b"\0"))
    assert "premature end" in refused(tmp_path / "a.tif").lower()
    with pytest.raises(InputError, match=f"segment {96 // rows - 1} is damaged"):
        spooled(tmp_path / "a.tif")
    said = []
    pixels = spooled(tmp_path / "a.tif", said.append)
    assert len(said) == 1
    assert pixels[:32].any()


SAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "411": (4, 1), "440": (1, 2)}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("shape", [(1, 1), (17, 23), (64, 40)])
def test_pixels_are_those_of_imagecodecs(sampling, shape):
    pixels = tissue(*shape)
    data = imagecodecs.jpeg8_encode(pixels, level=80, subsampling=sampling)
    for colours in [(None, 2), (2, 2)]:
        expected = imagecodecs.jpeg8_decode(data, colorspace=colours[0], outcolorspace=colours[1])
        assert np.array_equal(jpeg.decode(data, None, colours, 3), expected)
        out = np.zeros(pixels.shape, np.uint8)
        jpeg.decode(memoryview(data), None, colours, 3, out)
        assert np.array_equal(out, expected)
    grey = imagecodecs.jpeg8_encode(pixels[..., 0].copy(), level=80)
    assert np.array_equal(jpeg.decode(grey, None, (None, None), 1)[..., 0], imagecodecs.jpeg8_decode(grey))
    as_rgb = imagecodecs.jpeg8_encode(pixels, level=80, colorspace="rgb", outcolorspace="rgb")
    assert np.array_equal(jpeg.decode(as_rgb, None, (None, 2), 3), imagecodecs.jpeg8_decode(as_rgb, outcolorspace=2))


def test_tables_that_are_stored_apart(tmp_path):
    data = imagecodecs.jpeg8_encode(tissue(), level=80, subsampling="420")
    parts = [(code, data[begin:end]) for code, begin, end in jpeg._markers(data)]
    restarts = b"\xff\xdd\x00\x04\x00\x01"  # forgotten with the tables' stream
    tables = b"\xff\xd8" + restarts + b"".join(part for code, part in parts if code in (0xC4, 0xDB)) + b"\xff\xd9"
    scan = data.index(b"\xff\xda")
    rest = b"\xff\xd8" + b"".join(part for code, part in parts if code not in (0xC4, 0xDB, 0xDA)) + data[scan:]
    for colours in [(None, 2), (2, 2)]:
        expected = imagecodecs.jpeg8_decode(rest, tables=tables, colorspace=colours[0], outcolorspace=colours[1])
        assert np.array_equal(jpeg.decode(rest, tables, colours, 3), expected)


def test_what_turbojpeg_does_not_decode_is_left_to_imagecodecs():
    four = imagecodecs.jpeg8_encode(np.dstack([tissue(), tissue()[..., :1]]), level=80)
    deep = imagecodecs.jpeg8_encode(tissue().astype(np.uint16) * 16, level=80, bitspersample=12)
    lossless = imagecodecs.jpeg8_encode(tissue(), lossless=True)
    for data, samples in ((four, 4), (deep, 3), (lossless, 3), (b"", 3), (b"piece of an NDPI", 3)):
        assert jpeg.decode(data, None, (None, 2), samples) is None


def test_a_tile_of_another_shape_is_damaged(tmp_path):
    """Of as many pixels, so that it would be taken for one of the right shape."""
    tifffile.imwrite(tmp_path / "a.tif", tissue(), tile=(48, 96), photometric="rgb", compression="jpeg")
    at, count = place(tmp_path / "a.tif", 1)
    turned = imagecodecs.jpeg8_encode(tissue(96, 48), level=20)
    assert len(turned) <= count
    changed(tmp_path / "a.tif", at, turned.ljust(count, b"\0"))
    assert "segment 1 is damaged (48 x 96 pixels for 96 x 48)" in refused(tmp_path / "a.tif")


def test_grey_is_not_taken_for_colours():
    grey = imagecodecs.jpeg8_encode(tissue()[..., 0].copy(), level=80)
    assert imagecodecs.jpeg8_decode(grey, outcolorspace=2).shape == (96, 96, 3)
    with pytest.raises(DamagedError, match="1 components for 3 samples"):
        jpeg.decode(grey, None, (None, 2), 3)


def test_sampling_factors_that_no_tiff_has():
    data = bytearray(imagecodecs.jpeg8_encode(tissue(), level=80, subsampling="444"))
    at = data.index(b"\xff\xc0") + 11
    data[at] = 0x31
    with pytest.raises(DamagedError, match="3 x 1, 1 x 1, 1 x 1"):
        jpeg.decode(bytes(data), None, (None, 2), 3)
    data[at] = 0x42  # rare, yet allowed
    assert jpeg.decode(bytes(data), None, (None, 2), 3) is None


@needs_libtiff
@pytest.mark.parametrize("seed", range(2))
def test_what_libtiff_warns_of_is_an_error(tmp_path, seed):
    chance = np.random.default_rng(seed)
    tifffile.imwrite(tmp_path / "raw.tif", tissue(128, 128), photometric="rgb")
    subprocess.run(["tiffcp", "-c", "jpeg:75", "-t", "-w", "64", "-l", "64", tmp_path / "raw.tif", tmp_path / "a.tif"], check=True)
    content, warned, accepted = (tmp_path / "a.tif").read_bytes(), 0, 0
    at, count = place(tmp_path / "a.tif", 2)
    for number in range(24):
        data = bytearray(content)
        where, length = at + chance.integers(count), chance.integers(1, 64)
        span = slice(where, min(where + length, at + count))
        data[span] = [bytes(span.stop - span.start), chance.bytes(span.stop - span.start)][number % 2]
        (tmp_path / "b.tif").write_bytes(data)
        run = subprocess.run(["tiffcp", "-c", "none", tmp_path / "b.tif", tmp_path / "c.tif"], capture_output=True, check=False)
        image, reader = opened(tmp_path / "b.tif")
        try:
            with closing(reader):
                whole(reader, image.planes[0])
            refusal = ""
        except InputError as error:
            refusal = str(error)
        if run.stderr:
            warned += 1
            assert "segment 2 is" in refusal, (number, run.stderr)
        accepted += not refusal
    assert warned > 5
    assert accepted


def converted(tmp_path, capfd, **environ):
    flags = [f"--{name.lower().replace('_', '-')}={value}" for name, value in environ.items()]
    status = main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path / "out"), "--initial-downsample=1", "--max-workers=2", *flags])
    return status, capfd.readouterr().err


def test_on_corrupt(tmp_path, capfd):
    at, count = sliced(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    changed(tmp_path / "a.tif", at + count // 2, b"\xff\xd9".ljust(count - count // 2, b"\0"))
    status, said = converted(tmp_path, capfd)
    assert status == 1
    assert "a.tif: image 0, plane t=0 c=0 z=0: segment 1 is damaged (" in said
    assert not (tmp_path / "out/a.ome.zarr").exists()
    status, said = converted(tmp_path, capfd, ON_CORRUPT="warn")
    assert status == 0
    assert said.count("segment 1 is damaged") == 1
    assert "its pixels are taken as decoded" in said
    assert (tmp_path / "out/a.ome.zarr").exists()
    status, said = converted(tmp_path, capfd)  # not taken for what ON_CORRUPT=error makes
    assert status == 1
    (tmp_path / "a.tif").write_bytes(content)
    assert converted(tmp_path, capfd)[0] == 0
    first = digest(tmp_path / "out/a.ome.zarr/0")
    assert converted(tmp_path, capfd, ON_CORRUPT="warn")[0] == 0
    assert digest(tmp_path / "out/a.ome.zarr/0") == first


def test_a_segment_without_pixels_is_an_error_all_the_same(tmp_path):
    at, count = sliced(tmp_path / "a.tif")
    changed(tmp_path / "a.tif", at, bytes(count))
    (image,) = tiff.open_images(str(tmp_path / "a.tif"))
    said = []
    with closing(Reader(image, said.append)) as reader, pytest.raises(InputError, match="segment 1 is corrupt"):
        list(reader.read(image.planes[0], Rect(0, 96, 0, 96), "segment"))
    assert not said


def test_the_log_names_no_more_than_can_be_read(capfd):
    lines = []
    handler = noted.logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    log = noted.NotedLog("a.tif")
    for number in range(100):
        log.add(f"segment {number}")
        log.add("segment 0")
    noted.logger.remove(handler)
    assert lines == [*(f"segment {number}\n" for number in range(noted.MOST)), lines[-1]]
    assert "LOG_LEVEL=DEBUG" in lines[-1]
