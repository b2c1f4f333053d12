"""Pixel size and magnification that slide scanners state, against what tifffile and an XML parser read of the same files."""

from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import tifffile
from ndpi import ndpi, page, save, slide
from tiffs import coordinates

from omezarr_proc.build.dataset import attributes, pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.image import AxisSize
from omezarr_proc.ngff.windows import Window
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.describe.slides import Optics, optics

APERIO = "Aperio Image Library v11.2.1\r\n64x64 [0,0 64x64] (32x32) JPEG/RGB Q=30|AppMag = 20|StripeWidth = 2040|MPP = 0.4990|Left = 25.6"
QPTIFF = """<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription><ImageType>FullResolution</ImageType><Name>DAPI</Name>
<Objective>10x</Objective><ScanProfile><root><ScanResolution><PixelSizeMicrons>0.5</PixelSizeMicrons><Magnification>20</Magnification>
</ScanResolution><MsiResolution><PixelSizeMicrons>1.5</PixelSizeMicrons></MsiResolution></root></ScanProfile>
</PerkinElmer-QPI-ImageDescription>"""
SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="c" sizeX="9" sizeY="9">
<image name="macro"><pixels sizeX="20" sizeY="30"><dimension sizeX="20" sizeY="30" r="0" ifd="1" /></pixels>
<view sizeX="320000" sizeY="480000" /><objectiveSettings><objective>0.60833</objective></objectiveSettings></image>
<image name="slide"><pixels sizeX="64" sizeY="48"><dimension sizeX="64" sizeY="48" r="0" ifd="0" /></pixels>
<view sizeX="32000" sizeY="12000" offsetX="1" /><objectiveSettings><objective>40</objective></objectiveSettings></image>
</collection></scn>"""


def written(path, text, shape=(64, 64), **options):
    with tifffile.TiffWriter(path) as writer:
        writer.write(coordinates(shape, "uint8", 3), photometric="rgb", tile=(32, 32), description=text, metadata=None, **options)
        thumbnail = text.replace("FullResolution", "Thumbnail")
        writer.write(coordinates((20, 20), "uint8", 3), photometric="rgb", description=thumbnail, metadata=None)
    return str(path)


@pytest.mark.parametrize("resolution", [{}, {"resolution": (72, 72), "resolutionunit": 2}])
def test_aperio_states_micrometres_a_pixel(tmp_path, resolution):
    path = written(tmp_path / "x.svs", APERIO, **resolution)
    image, thumbnail = tiff.open_images(path, images="all")
    with tifffile.TiffFile(path) as file:
        stated = tifffile.tifffile.svs_description_metadata(file.pages.first.description)
    assert image.sizes == {axis: AxisSize(stated["MPP"], "micrometer") for axis in "xy"}
    assert image.magnification == stated["AppMag"] == 20
    assert thumbnail.magnification is None
    assert "x" not in thumbnail.sizes or thumbnail.sizes["x"].value > 300  # its own tags, never the slide's MPP


@pytest.mark.parametrize("text", ["MPP = |AppMag = x", "MPP = 0|AppMag = -1", "MPP = nan|AppMag = inf", "MPP=1e999", "", "MPP"])
def test_nonsense_states_nothing(text):
    assert optics(f"Aperio Image Library\r\n64x64|{text}", 64, 64) == Optics(measured=True)
    assert optics(f"A camera|{text}", 64, 64) == Optics()


def test_qptiff_has_its_tags_and_else_its_profile(tmp_path):
    profile = ElementTree.fromstring(QPTIFF.partition("?>")[2]).find("ScanProfile/root/ScanResolution")
    size, magnification = (float(profile.findtext(name)) for name in ("PixelSizeMicrons", "Magnification"))
    bare = tiff.open_images(written(tmp_path / "x.qptiff", QPTIFF))[0]
    assert (bare.sizes["x"].value, bare.sizes["y"].unit, bare.magnification) == (size, "micrometer", magnification)
    measured = tiff.open_images(written(tmp_path / "y.qptiff", QPTIFF, resolution=(20140, 20140), resolutionunit=3))[0]
    assert measured.sizes["x"].value == pytest.approx(10000 / 20140)
    assert measured.magnification == magnification


def test_leica_states_the_extent_of_each_image(tmp_path):
    slide_ = tiff.open_images(written(tmp_path / "x.scn", SCN, (48, 64)))[0]
    image = next(one for one in ElementTree.fromstring(SCN.partition("?>")[2]).iter() if one.get("name") == "slide")
    view, pixels = image[1], image[0]
    for axis, key in (("x", "sizeX"), ("y", "sizeY")):
        assert slide_.sizes[axis] == AxisSize(int(view.get(key)) / int(pixels.get(key)) / 1000, "micrometer")
    assert slide_.magnification == 40
    assert optics(SCN, 20, 30).magnification == 0.60833
    assert optics(SCN, 32, 24) == Optics()


def test_hamamatsu_states_lens_and_focus(tmp_path):
    path = save(tmp_path / "x.ndpi", ndpi([page(slide(64, 128, shift), 40.0, 2500 * shift - 2500) for shift in range(3)]))
    (image,) = tiff.open_images(path)
    with tifffile.TiffFile(path) as file:
        tags = [page.ndpi_tags for page in file.pages]
    assert image.magnification == tags[0]["Magnification"] == 40
    focus = [tag["ZOffsetFromSlideCenter"] for tag in tags]
    assert image.sizes["z"] == AxisSize((focus[1] - focus[0]) / 1000, "micrometer")
    uneven = save(tmp_path / "y.ndpi", ndpi([page(slide(64, 128, shift), 40.0, shift**2) for shift in range(3)]))
    assert "z" not in tiff.open_images(uneven)[0].sizes


def test_magnification_is_kept_in_the_dataset(tmp_path):
    image = tiff.open_images(written(tmp_path / "x.svs", APERIO))[0]
    settings = Settings(input_dir=tmp_path, output_dir=tmp_path)
    store = SimpleNamespace(pyramid=pyramid_of(image, settings), zarr_format=3)
    for one, stated in ((image, 20), (replace(image, magnification=None), None)):
        assert attributes(one, settings, "k", store, [Window(0, 1, 0, 1)] * 3)["omezarr_proc"].get("magnification") == stated
