"""Axes that SCIFIO and NDTiff state of their pages: pixels against numpy, tags against tifffile."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from reading import whole
from tiffs import coordinates

from omezarr_proc.model.image import AxisSize
from omezarr_proc.tiff.describe import ndtiff, scifio
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.read.reader import Reader

NDTIFF = Path(__file__).parents[3] / "shared/corpus/files/found/micro-manager+NDTiffStorage/test_data"


def planes(image):
    with closing(Reader(image)) as reader:
        return np.stack([whole(reader, plane) for plane in image.planes])


def described(axes, lengths, scales, units):
    lists = {"axes": axes, "lengths": lengths, "scales": scales, "units": units}
    return (
        "SCIFIO=0.46.0\n" + "".join(f"{key}={','.join(map(str, values))}\n" for key, values in lists.items()) + "bitsPerPixel=16\nunit=µm\n"
    )


def test_scifio_states_channels_slices_and_frames(tmp_path):
    pixels = coordinates((4, 3, 2, 20, 30))  # t, z, c: the first axis of SCIFIO changes fastest
    text = described(
        ["X", "Y", "Channel", "Z", "Time"], [30, 20, 2, 3, 4], [0.25, 0.5, 1.0, 1.5, 2.0], [r"\u00B5m", "micron", "null", "um", "sec"]
    )
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for number, plane in enumerate(pixels.reshape(-1, 20, 30)):
            writer.write(plane, metadata=None, description=text.encode() if not number else None)
    (image,) = open_images(str(tmp_path / "x.tif"))
    assert (image.size_t, image.size_c, image.size_z, image.notes) == (4, 2, 3, ())
    assert np.array_equal(planes(image)[..., 0], pixels.reshape(-1, 20, 30))
    micro = {axis: AxisSize(value, "micrometer") for axis, value in (("x", 0.25), ("y", 0.5), ("z", 1.5))}
    assert image.sizes == micro | {"t": AxisSize(2.0, "second")}


@pytest.mark.parametrize(("axes", "lengths"), [(["Channel", "X", "Y", "Z"], [3, 30, 20, 2]), (["X", "Y", "Channel", "Z"], [30, 20, 3, 2])])
def test_scifio_of_colours(tmp_path, axes, lengths):
    pixels = coordinates((2, 20, 30), "uint8", 3)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for plane in pixels:
            writer.write(plane, photometric="rgb", metadata=None, description=described(axes, lengths, [1] * 4, ["null"] * 4).encode())
    (image,) = open_images(str(tmp_path / "x.tif"))
    assert (image.size_t, image.size_c, image.size_z, image.rgb, image.sizes) == (1, 3, 2, True, {})
    assert np.array_equal(planes(image), pixels)


@pytest.mark.parametrize(
    ("axes", "lengths"),
    [(["X", "Y", "Lifetime"], [3, 4, 5]), (["X", "Y"], [3]), (["X", "X"], [3, 3]), (["X", "Z"], [1, 2]), (["X", "Y"], ["a", -1]), ([], [])],
)
def test_what_scifio_does_not_say_is_not_guessed(axes, lengths):
    assert scifio.parse(described(axes, lengths, [1], ["um"]), 1) is None


def written(path, positions, pixels):
    with tifffile.TiffWriter(path) as writer:
        for place, plane in zip(positions, pixels, strict=True):
            text = json.dumps(place)
            writer.write(plane, metadata=None, extratags=[(ndtiff.METADATA, 2, len(text) + 1, text, True)])
    return open_images(str(path))


def test_ndtiff_says_of_each_page_where_it_is(tmp_path):
    pixels = coordinates((12, 8, 9))
    places = [(t, name, z) for z in (5, 3) for name in ("GFP", "DAPI") for t in (2, 0, 1)]
    found = written(tmp_path / "x.tif", [{"Axes": {"time": t, "channel": name, "z": z}} for t, name, z in places], pixels)
    (image,) = found
    assert (image.size_t, image.size_c, image.size_z) == (3, 2, 2)
    assert [channel.name for channel in image.channels] == ["GFP", "DAPI"]
    expected = [pixels[places.index((t, name, z))] for t in range(3) for z in (3, 5) for name in ("GFP", "DAPI")]
    assert np.array_equal(planes(image)[..., 0], expected)


@pytest.mark.parametrize(
    "places",
    [
        [{"Axes": {"time": 0}}, {"Axes": {"time": 0}}],
        [{"Axes": {"time": 0, "z": 0}}, {"Axes": {"time": 1, "z": 1}}],
        [{"Axes": {"position": 0}}, {"Axes": {"position": 1}}],
        [{"Axes": {"time": 0}}, {"Axes": 1}],
        [{"Axes": {"time": 0}}, []],
        [{"Axes": {"time": []}}, {"Axes": {"time": 1.5}}],
    ],
)
def test_pages_that_fill_no_grid_stay_what_they_were(tmp_path, places):
    (image,) = written(tmp_path / "x.tif", places, coordinates((2, 8, 9)))
    assert (image.size_t, image.size_c, image.size_z) == (1, 1, 2)


@pytest.mark.shared
@pytest.mark.skipif(not NDTIFF.exists(), reason="needs the shared corpus beside the repository")
@pytest.mark.parametrize("version", ["2", "3"])
def test_files_of_ndtiffs_authors(version):
    (path,) = (NDTIFF / f"v{version}/ndtiffv{version}.0_test").rglob("*.tif")
    (image,) = open_images(str(path))
    with tifffile.TiffFile(path) as file:
        stored = {(p.tags[51123].value["Axes"]["time"], p.tags[51123].value["Channel"]): p.asarray() for p in file.pages}
    names = [channel.name for channel in image.channels]
    assert names == ["DAPI", "FITC"]
    assert image.size_t == 5
    assert np.array_equal(planes(image)[..., 0], [stored[t, name] for t in range(5) for name in names])
