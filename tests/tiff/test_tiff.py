"""Files as images: dimensions, planes, sizes and names, and refusals."""

import json
import os
import struct
import time
from contextlib import closing

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from ome import ome, pages
from reading import opened, refusal, whole
from tiffs import build, coordinates, grey, save

from omezarr_proc.model.image import AxisSize, Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader


def array(image):
    """All pixels [t, c, z, y, x]."""
    out = np.zeros((image.size_t, image.size_c, image.size_z, image.height, image.width), image.dtype)
    samples = next(image.layouts[plane.layout].samples for plane in image.planes if plane is not None)
    groups = image.size_c // samples
    reader = Reader(image)
    for number, plane in enumerate(image.planes):
        t, z, g = number // groups // image.size_z, number // groups % image.size_z, number % groups
        if plane is not None:
            for y, x, block in reader.read(plane, Rect(0, image.height, 0, image.width), "segment"):
                target = out[t, g * samples : (g + 1) * samples, z, y : y + block.shape[0], x : x + block.shape[1]]
                target[...] = np.moveaxis(block, -1, 0)
    reader.close()
    return out


AXES = st.permutations("TCZ").map("".join)


@settings(max_examples=40, deadline=None)
@given(axes=AXES, t=st.integers(1, 3), c=st.integers(1, 3), z=st.integers(1, 3), tiled=st.booleans(), samples=st.sampled_from([1, 3]))
def test_ome_tiff_of_any_order(tmp_path_factory, axes, t, c, z, tiled, samples):
    path = tmp_path_factory.mktemp("ome") / "x.ome.tif"
    full = coordinates((t, c, z, 20, 24), "uint16", samples)
    stored = np.moveaxis(full.reshape(t, c, z, 20, 24, samples), [0, 1, 2], [axes.index(a) for a in "TCZ"])
    stored = stored if samples > 1 else stored[..., 0]
    tifffile.imwrite(path, stored, metadata={"axes": axes + "YX" + "S" * (samples > 1)}, tile=(16, 16) if tiled else None,
                     photometric="rgb" if samples > 1 else "minisblack", compression="zlib" if tiled else None)  # fmt: skip
    (image,) = tiff.open_images(str(path))
    assert (image.size_t, image.size_c, image.size_z) == (t, c * samples, z)
    expected = np.moveaxis(full.reshape(t, c, z, 20, 24, samples), -1, 2).reshape(t, c * samples, z, 20, 24)
    np.testing.assert_array_equal(array(image), expected)
    assert image.ome_xml
    assert image.rgb == (samples == 3 and c == 1)


@pytest.mark.parametrize("axes", ["ZYX", "TZCYX", "CYX", "TYX", "ZCYXS"])
def test_imagej_hyperstacks(tmp_path, axes):
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 10, "X": 12, "S": 3}
    pixels = coordinates(tuple(sizes[a] for a in axes), "uint8" if "S" in axes else "uint16")
    metadata = {"axes": axes, "unit": "um", "spacing": 1.5, "finterval": 3.0}
    tifffile.imwrite(tmp_path / "x.tif", pixels, imagej=True, resolution=(4.0, 2.0), metadata=metadata)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    full = [axes.find(a) for a in "TCZYX"]
    expected = np.moveaxis(pixels, -1, axes.index("C")).reshape(3, 12, 10, 12)[:, [i * 1 for i in range(12)]] if "S" in axes else None
    if expected is None:
        expected = pixels.transpose([i for i in full if i >= 0]).reshape([sizes[a] if a in axes else 1 for a in "TCZYX"])
        np.testing.assert_array_equal(array(image), expected)
    else:
        got = array(image)[0]
        for z, c, s in np.ndindex(3, 4, 3):
            np.testing.assert_array_equal(got[c * 3 + s, z], pixels[z, c, ..., s])
    assert image.sizes["x"] == AxisSize(0.25, "micrometer")
    assert image.sizes["y"] == AxisSize(0.5, "micrometer")
    assert ("z" in image.sizes) == ("Z" in axes)
    assert ("t" in image.sizes) == ("T" in axes)


def test_an_imagej_stack_behind_one_page(tmp_path):
    stack = coordinates((7, 3, 4), ">u2")
    text = b"ImageJ=1.53\nimages=7\nslices=7\n\0"
    path = save(tmp_path / "x.tif", build([grey(stack.tobytes(), 4, 3, bits=16, t270=(2, text), t279=(4, [24]))], ">"))
    (image,) = tiff.open_images(path)
    np.testing.assert_array_equal(array(image)[0, 0], stack.astype("u2"))
    cut = save(tmp_path / "cut.tif", build([grey(stack.tobytes()[:100], 4, 3, bits=16, t270=(2, text), t279=(4, [24]))], ">"))
    assert "7 planes are stated, but 1 pages are there" in refusal(cut)


@pytest.mark.parametrize("truncate", [False, True])
def test_tifffile_shaped_axes(tmp_path, truncate):
    pixels = coordinates((2, 3, 4, 10, 12))
    tifffile.imwrite(tmp_path / "x.tif", pixels, metadata={"axes": "ZTCYX"}, truncate=truncate, photometric="minisblack", planarconfig=None)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    np.testing.assert_array_equal(array(image), pixels.transpose(1, 2, 0, 3, 4))


def test_plain_pages_are_z_and_colour_pages_t_and_said_so(tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", coordinates((5, 8, 9)), metadata=None, photometric="minisblack")
    tifffile.imwrite(tmp_path / "rgb.tif", coordinates((5, 8, 9), "uint8", 3), metadata=None, photometric="rgb")
    (grey_image,) = tiff.open_images(str(tmp_path / "grey.tif"))
    (rgb_image,) = tiff.open_images(str(tmp_path / "rgb.tif"))
    assert (grey_image.size_z, grey_image.size_t) == (5, 1)
    assert (rgb_image.size_z, rgb_image.size_t, rgb_image.size_c) == (1, 5, 3)
    assert "z slices" in grey_image.notes[0]
    assert "time points" in rgb_image.notes[0]


def test_pages_of_different_kinds_are_images_of_their_own(tmp_path):
    content = build([grey(bytes(12), 4, 3), grey(bytes(24), 4, 3, bits=16), grey(bytes(6), 3, 2)])
    images = tiff.open_images(save(tmp_path / "x.tif", content))
    assert [(image.series, image.width, image.dtype) for image in images] == [(0, 4, "uint8"), (1, 4, "uint16"), (2, 3, "uint8")]
    for image in images:
        assert len(image.layouts) == 1  # of its own, not of its neighbours
        assert image.layouts[0].dtype == image.dtype
        assert array(image).shape == (1, 1, 1, image.height, image.width)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize(
    ("axes", "shape", "said"), [("ZYXC", (3, 20, 30, 2), "2 x 30"), ("YXC", (20, 30, 2), "2 x 30"), ("YZX", (4, 30, 20), "20 x 30")]
)
def test_an_array_that_is_cut_across_y_and_x_is_refused(tmp_path, axes, shape, said, truncate):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, coordinates(shape), photometric="minisblack", planarconfig=None, metadata={"axes": axes}, truncate=truncate)
    message = refusal(path)
    assert f"the axes {axes} of {shape}" in message
    assert f"pages of {said} pixels" in message


@pytest.mark.parametrize(("axes", "shape"), [("CXY", (1, 30, 20)), ("XYC", (30, 20, 1)), ("TXY", (4, 30, 20))])
def test_rows_that_are_called_x_stay_rows(tmp_path, axes, shape):
    pixels = coordinates(shape)
    stored = pixels.reshape(-1, 30, 20) if axes == "XYC" else pixels
    text = json.dumps({"axes": axes, "shape": shape})
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="minisblack", planarconfig=None, metadata=None, description=text)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert np.array_equal(array(image)[:, 0, 0], pixels.reshape(-1, 30, 20))
    assert image.size_t == (4 if axes == "TXY" else 1)
    assert any("rows and columns stay" in note for note in image.notes)


def test_channels_inside_of_pixels_are_channels(tmp_path):
    pixels = coordinates((3, 20, 30, 2))
    metadata = {"axes": "ZYXC"}
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="minisblack", planarconfig="contig", metadata=metadata, extrasamples=[0])
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert np.array_equal(array(image)[0], np.moveaxis(pixels, -1, 0))


def test_levels_of_a_pyramid_are_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for size in (256, 128, 64):
            writer.write(coordinates((size, size), "uint8"), tile=(32, 32), metadata=None)
    with tifffile.TiffWriter(tmp_path / "marked.tif") as writer:
        for size, kind in ((256, 0), (128, 1)):
            writer.write(coordinates((size, size), "uint8"), subfiletype=kind, metadata=None)
    for name in ("x.tif", "marked.tif"):
        (image,) = tiff.open_images(str(tmp_path / name))
        assert image.width == 256
        assert "left out" in image.notes[0]


def test_slides_leave_out_what_shows_the_patient(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for shape, text, kind, tile in [((64, 64), "64x64", 0, (32, 32)), ((20, 20), "thumb", 0, None), ((32, 32), "level", 0, (16, 16)),
                                        ((9, 9), "label 9x9", 1, None), ((9, 20), "macro 20x9", 9, None)]:  # fmt: skip
            options = {"photometric": "rgb", "metadata": None, "subfiletype": kind, "tile": tile}
            writer.write(coordinates(shape, "uint8", 3), description=f"Aperio Image Library v1\n{text}", **options)
    path = str(tmp_path / "x.tif")
    assert [image.width for image in tiff.open_images(path)] == [64]
    assert [image.name for image in tiff.open_images(path, images="all")] == ["", "thumbnail", "label", "macro"]
    assert [image.name for image in tiff.open_images(path, images=(0, 2))] == ["", "label"]
    assert "IMAGES asks for" in refusal(path, images=(7,))
    named = save(tmp_path / "y.ome.tif", build(pages(1, ome("Label image"))))
    assert len(tiff.open_images(named)) == 1  # never nothing at all


def test_metadata_of_ome(tmp_path):
    inside = '<Channel Name="DAPI" Color="65535" EmissionWavelength="461"/><Channel Name="β-actin"/>'
    more = ' PhysicalSizeX="0.25" PhysicalSizeY="1" PhysicalSizeYUnit="pixel"'
    path = save(tmp_path / "x.ome.tif", build(pages(2, ome("slice", c=2, more=more, inside=inside))))
    (image,) = tiff.open_images(path)
    assert image.name == "slice"
    assert image.sizes == {"x": AxisSize(0.25, "micrometer")}
    assert [(one.name, one.color, one.emission) for one in image.channels] == [("DAPI", "0000FF", 461.0), ("β-actin", None, None)]


@pytest.mark.parametrize(
    ("unit", "expected"), [((3, [2]), AxisSize(254.0, "micrometer")), ((3, [3]), AxisSize(100.0, "micrometer")), ((3, [1]), None)]
)
def test_resolution_tags(tmp_path, unit, expected):
    content = build([grey(bytes(12), 4, 3, t282=(4, [100, 1]), t283=(4, [100, 1]), t296=unit)])
    for code in (282, 283):  # two longs become one rational
        at = content.index(struct.pack("<HHI", code, 4, 2))
        content = content[:at] + struct.pack("<HHI", code, 5, 1) + content[at + 8 :]
    (image,) = tiff.open_images(save(tmp_path / "x.tif", content))
    assert image.sizes == ({"x": expected, "y": expected} if expected else {})


@pytest.mark.parametrize(
    ("dtype", "stored"), [("float64", "float32"), ("int64", "int32"), ("uint64", "uint32"), ("int8", "int8"), ("uint32", "uint32")]
)
def test_types_that_viewers_cannot_read_are_stored_as_others_and_said_so(tmp_path, dtype, stored):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((3, 4), dtype), metadata=None)
    (image,) = tiff.open_images(str(tmp_path / "x.tif"))
    assert (image.dtype, image.stored_dtype) == (dtype, stored)
    assert any(stored in note for note in image.notes) == (dtype != stored)


def test_a_missing_plane_is_an_error_or_none(tmp_path):
    inside = '<TiffData FirstZ="0" IFD="0" PlaneCount="1"/><TiffData FirstZ="2" IFD="1" PlaneCount="1"/>'
    path = save(tmp_path / "hole.ome.tif", build(pages(2, ome(z=3, inside=inside))))
    assert "1 of 3 planes are not in the file, the first is t=0 c=0 z=1" in refusal(path)
    (image,) = tiff.open_images(path, on_missing="fill")
    assert [plane is None for plane in image.planes] == [False, True, False]
    assert any("1 of 3 planes are missing" in note for note in image.notes)
    few = save(tmp_path / "few.ome.tif", build(pages(2, ome(t=5))))
    assert "3 of 5 planes" in refusal(few)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ome(x=5), "pages of 4 x 3 pixels, not 5 x 3"),
        (ome(t=2_000_000_000), "planes"),
        (ome(z=0), "SizeZ"),
        (b"<OME></OME>\0", "no image"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + ome(), "document type"),
        (ome()[:-30] + b"\0", "malformed"),
    ],
)
def test_ome_xml_that_contradicts_the_file(tmp_path, text, reason):
    assert reason in refusal(save(tmp_path / "x.ome.tif", build(pages(1, text))))


def test_pages_that_differ_get_layouts_of_their_own(tmp_path):
    two = [grey(bytes(12), 4, 3, t270=(2, ome(z=2))), grey(bytes(12), 4, 3, t278=(4, [1]), t273=(4, [8, 12, 16]), t279=(4, [4, 4, 4]))]
    (image,) = tiff.open_images(save(tmp_path / "x.ome.tif", build(two)))
    assert [image.layouts[plane.layout].segment_height for plane in image.planes] == [3, 1]
    bad = [grey(bytes(12), 4, 3, t270=(2, ome(z=2))), grey(bytes(24), 4, 3, bits=16)]
    assert "different size or type" in refusal(save(tmp_path / "y.ome.tif", build(bad)))


def test_pages_have_palettes_of_their_own(tmp_path):
    """Of planes of one kind only the first is interpreted."""
    indices = coordinates((20, 30), "uint8")
    maps = [np.random.default_rng(n).integers(0, 1 << 16, (3, 256)).astype(np.uint16) for n in range(3)]
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for colormap in (maps[0], maps[1], maps[2], maps[1]):
            file.write(indices, photometric="palette", colormap=colormap, metadata=None)
    image, reader = opened(tmp_path / "x.tif")
    with closing(reader):
        for plane, colormap in zip(image.planes, (maps[0], maps[1], maps[2], maps[1]), strict=True):
            np.testing.assert_array_equal(whole(reader, plane), colormap.T[indices])
    assert len(image.layouts) == 3


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (grey(bytes(12), 4, 3, t256="absent"), "0 x 3 pixels"),
        (grey(bytes(64), 2**31 - 1, 2**31 - 1), "cut off or corrupt"),
        (grey(bytes(64), 60000, 60000), "cut off or corrupt"),
        (grey(bytes(12), 4, 3, t273=(4, [999999])), "not in the file"),
        (grey(bytes(12), 4, 3, t279=(4, [4])), "claims"),
        (grey(bytes(12), 4, 3, t259=(3, [9999])), "cannot be read"),
        (grey(bytes(12), 4, 3, t258=(3, [0])), "0 bits"),
        (grey(bytes(36), 4, 3, bits=24, t339=(3, [2])), "pixels of 24 bits"),
        (grey(bytes(12), 4, 3, t277=(3, [65535])), "65535 samples"),
        (grey(bytes(48), 4, 3, t262=(3, [5]), t277=(3, [4]), t258=(3, [8] * 4)), "CMYK"),
        (grey(bytes(36), 4, 3, t262=(3, [8]), t277=(3, [3]), t258=(3, [8] * 3)), "CIELab"),
        (grey(bytes(96), 4, 3, bits=64, t339=(3, [6])), "complex"),
        (grey(bytes(36), 4, 3, t262=(3, [2]), t277=(3, [3]), t258=(3, [5, 6, 5])), "different size"),
        (grey(bytes(12), 4, 3, t278=(4, [1])), "1 of 3 segments"),
        (grey(bytes(12), 4, 3, t262=(3, [3])), "without its colour map"),
        (
            grey(bytes(12), 4, 3, t278="absent", t273="absent", t322=(4, [2**30]), t323=(4, [2**30]), t324=(4, [8]), t325=(4, [12])),
            "segments of",
        ),
    ],
)
def test_pages_that_cannot_be_read_faithfully_are_refused(tmp_path, page, reason):
    began = time.monotonic()
    assert reason in refusal(save(tmp_path / "x.tif", build([page])))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", ["a b.tif", "it's.tif", 'qu"ote.tif', "-rf.tif", "µ漢字.tif", "new\nline.tif"])
def test_names(tmp_path, name):
    (image,) = tiff.open_images(save(tmp_path / name, build(pages(1))))
    assert image.files == (str(tmp_path / name),)


def test_what_is_no_file(tmp_path):
    (tmp_path / "dir.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    assert "cannot be read" in refusal(tmp_path / "dir.tif")
    assert "cannot be read" in refusal(tmp_path / "pipe.tif")
    assert "cannot be opened" in refusal(tmp_path / "absent.tif")
    assert "empty" in refusal(save(tmp_path / "zero.tif", b""))


def test_the_fingerprint_follows_the_file(tmp_path):
    path = save(tmp_path / "x.tif", build(pages(2)))
    first = tiff.open_images(path)[0].fingerprint
    assert tiff.open_images(path)[0].fingerprint == first
    os.utime(path, ns=(1, 1))
    assert tiff.open_images(path)[0].fingerprint != first


def test_3000_pages_open_fast(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as writer:
        writer.write(np.zeros((1000, 3, 16, 16), np.uint16), metadata={"axes": "ZCYX"}, compression="zlib")
    began = time.monotonic()
    (image,) = tiff.open_images(str(tmp_path / "x.ome.tif"))
    assert len(image.planes) == 3000
    assert len(image.layouts) == 1
    assert time.monotonic() - began < 4  # 0.4 s on an idle machine


def test_values_can_be_sent_to_workers(tmp_path):
    import pickle

    tifffile.imwrite(tmp_path / "x.tif", coordinates((4, 5, 6)), photometric="minisblack", metadata={"axes": "ZYX"})
    images = tiff.open_images(str(tmp_path / "x.tif"))
    assert pickle.loads(pickle.dumps(images)) == images
    assert json.dumps(images[0].fingerprint)
