"""The descriptions of ImageJ and tifffile as axes."""

import json
from itertools import product

import numpy as np
import pytest
import tifffile
from tiffs import coordinates

from omezarr_proc.model.image import AxisSize
from omezarr_proc.ngff.colors import channel_colors
from omezarr_proc.tiff.describe import imagej, shaped
from omezarr_proc.tiff.describe import images as tiff


def test_a_hyperstack():
    stack = imagej.parse("ImageJ=1.53c\nimages=24\nchannels=2\nslices=3\nframes=4\nunit=micron\nspacing=-2.5\nfinterval=0.5\n", 24, 1)
    assert (stack.c, stack.z, stack.t) == (2, 3, 4)
    assert stack.sizes == {"z": AxisSize(2.5, "micrometer"), "t": AxisSize(0.5, "second")}


@pytest.mark.parametrize("text", ["ImageJ=1\nimages=6\nchannels=2\nslices=2", "ImageJ=1\nimages=6", "ImageJ=1\nimages=6\nslices=x"])
def test_sizes_that_do_not_come_out_are_one_stack(text):
    stack = imagej.parse(text, 6, 1)
    assert (stack.c, stack.z, stack.t) == (1, 6, 1)


def test_samples_counted_as_channels():
    stack = imagej.parse("ImageJ=\nimages=3\nchannels=3", 1, 3)
    assert (stack.c, stack.z, stack.t) == (1, 1, 1)


@pytest.mark.parametrize("unit", ["pixel", "", "bananas"])
def test_units_that_are_none_give_no_size(unit):
    assert imagej.parse(f"ImageJ=1\nimages=3\nslices=3\nunit={unit}\nspacing=2", 3, 1).sizes == {}


@pytest.mark.parametrize(
    ("letters", "shape"), [("TZCYX", (2, 3, 4, 5, 6)), ("CTZYX", (2, 3, 4, 5, 6)), ("QZYX", (2, 3, 5, 6)), ("YX", (5, 6))]
)
def test_shaped_axes_go_into_t_z_c(letters, shape):
    axes = shaped.parse(json.dumps({"shape": shape, "axes": letters}))
    count = axes.planes(5, 6, 1)
    assert count == np.prod(shape[:-2])
    (t, c, z), order = axes.sizes(1)
    stored = np.arange(count).reshape(shape[:-2])
    lengths = dict(zip(letters, shape, strict=True))
    assert (t, c) == (lengths.get("T", 1), lengths.get("C", 1))
    for number, (it, iz, ic) in enumerate(product(range(t), range(z), range(c))):
        if "Q" in letters:
            assert order[number] == number
        else:
            assert order[number] == stored[tuple({"T": it, "Z": iz, "C": ic}[a] for a in letters[:-2])]
    assert bool(axes.notes) == ("Q" in letters)


@pytest.mark.parametrize(
    "text", ["{", '{"shape": 3}', '{"shape": [1], "axes": "YX"}', '{"shape": [2, 2], "axes": "YY"}', '{"shape": [0, 2], "axes": "YX"}', "x"]
)
def test_other_json_is_not_taken_for_it(text):
    assert shaped.parse(text) is None


def ramp(red, green, blue):
    return np.outer([red, green, blue], np.arange(256) / 255).astype(np.uint8)


FIRE = np.stack([np.minimum(np.arange(256) * 2, 255), np.arange(256), np.zeros(256)]).astype(np.uint8)
INVERTED = ramp(255, 255, 255)[:, ::-1]


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("mode", ["composite", "color", "grayscale"])
def test_lookup_tables_are_the_colours_of_channels(tmp_path, byteorder, mode):
    luts = [ramp(0, 255, 0), ramp(255, 0, 255), ramp(255, 128, 0)]
    metadata = {"axes": "ZCYX", "mode": mode, "LUTs": luts, "Labels": ["a", "b", "c"] * 2, "Ranges": (0.0, 9.0) * 3, "Info": "x"}
    tifffile.imwrite(tmp_path / "x.tif", coordinates((2, 3, 10, 12)), imagej=True, byteorder=byteorder, metadata=metadata)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert [channel.color for channel in image.channels] == ["00FF00", "FF00FF", "FF8000"]
    assert channel_colors(image) == ("00FF00", "FF00FF", "FF8000")
    assert [channel.name for channel in image.channels] == [None] * 3


@pytest.mark.parametrize("lut", [FIRE, INVERTED, ramp(0, 0, 0)])
def test_other_tables_give_no_colour(tmp_path, lut):
    metadata = {"axes": "CYX", "mode": "composite", "LUTs": [ramp(0, 0, 255), lut]}
    tifffile.imwrite(tmp_path / "x.tif", coordinates((2, 10, 12)), imagej=True, metadata=metadata)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert [channel.color for channel in image.channels] == ["0000FF", None]


def test_tables_for_another_number_of_channels_are_none_of_theirs(tmp_path):
    metadata = {"axes": "ZYX", "LUTs": [ramp(0, 0, 255), ramp(0, 255, 0)]}
    tifffile.imwrite(tmp_path / "x.tif", coordinates((2, 10, 12)), imagej=True, metadata=metadata)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert [channel.color for channel in image.channels] == [None]


@pytest.mark.parametrize(
    ("counts", "data"),
    [([], b""), ([12], b"JIJI"), ([12, 768], b"JIJIstul\1\0\0\0"), ([12], b"JIJIstul\xff\xff\xff\xff"),
     ([13, 3], b"JIJIstul\1\0\0\0abcd"),
     ([12, 768], b"IJIJluts\0\0\0\1" + bytes(range(256)) * 3), ([1 << 62, 768], b"JIJI" + bytes(900)), ([12, -1], b"JIJIstul\1\0\0\0")],
)  # fmt: skip
def test_nonsense_in_the_tables_gives_no_colour(counts, data):
    assert not any(imagej.colors(counts, data, "<"))
