"""The images whose datasets are held against their digests: made by code alone, the same bytes on every machine with the same versions.

Nothing random, no date and no UUID: pixels are functions of their place, OME-XML is written here. The time of change is fixed too, since it
is part of a dataset's key.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from icc import inks
from tiffs import build, coordinates, grey

MTIME = 1_000_000_000
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
OME_TYPES = {"f4": "float", "f8": "double", "u1": "uint8", "u2": "uint16", "u4": "uint32", "i1": "int8", "i2": "int16", "i4": "int32"}

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Input:
    """A file to convert. `write` makes it under its path, and whatever belongs to it beside it."""

    name: str
    write: Write


def make(inputs: Sequence[Input], folder: Path) -> list[Path]:
    """Write the files, each into a folder of its own name, and set the time of change of all that is there."""
    paths = []
    for entry in inputs:
        path = folder / entry.name.partition(".")[0] / entry.name
        path.parent.mkdir()
        entry.write(path)
        for file in path.parent.iterdir():
            os.utime(file, (MTIME, MTIME))
        paths.append(path)
    return paths


def smooth(height: int, width: int, samples: int = 1, dtype: str = "u1") -> Any:
    """Ramps and waves that a lossy codec keeps: [y, x] or [y, x, s]."""
    y, x = np.mgrid[:height, :width]
    waves = [(x * (3 + s) + y * (5 - s)) // 4 % 509 for s in range(samples)]
    folded = np.stack([np.where(wave > 254, 508 - wave, wave) for wave in waves], -1)
    scale = 257 if np.dtype(dtype).itemsize > 1 else 1
    return (folded * scale).astype(dtype)[..., 0 if samples == 1 else slice(None)]


def array(name: str, pixels: Any, **options: Any) -> Input:
    """A file that tifffile writes, without a description unless `options` have one."""
    return Input(name, lambda path: tifffile.imwrite(path, pixels, **{"metadata": None, "photometric": "minisblack", **options}))


def ome_xml(sizes: str, dtype: str, *, samples: int = 1, channels: Sequence[str] = (), pixels: str = "", content: str = "") -> str:
    """OME-XML of one image of the sizes "XYCZT"; `channels` are attributes, one text a channel."""
    x, y, c, z, t = sizes.split()
    found = "".join(f'<Channel ID="Channel:0:{n}" SamplesPerPixel="{samples}" {more}/>' for n, more in enumerate(channels))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}"><Image ID="Image:0" Name={quoteattr("golden & more")}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{OME_TYPES[dtype]}"'
        f' SizeX="{x}" SizeY="{y}" SizeC="{c}" SizeZ="{z}" SizeT="{t}" {pixels}>'
        f"{found}{content or '<TiffData/>'}</Pixels></Image></OME>"
    )


def codecs() -> Iterator[Input]:
    """Every codec, in tiles and in strips, with its predictors."""
    grey8, grey16, rgb = coordinates((255, 256), "uint8"), coordinates((257, 130), "uint16"), smooth(200, 150, 3)
    tile = (64, 64)
    for codec in ("deflate", "lzw", "packbits", "zstd", "lzma"):
        yield array(f"{codec}-tiles.tif", grey8, compression=codec, tile=tile)
        yield array(f"{codec}-strips.tif", grey16, compression=codec, rowsperstrip=40)
    for codec in ("deflate", "lzw", "zstd"):
        yield array(f"{codec}-horizontal.tif", grey16, compression=codec, predictor=2, tile=tile)
        yield array(f"{codec}-floating.tif", coordinates((100, 90), "float32"), compression=codec, predictor=3, rowsperstrip=16)
    yield array("jpeg-rgb.tif", rgb, compression="jpeg", photometric="ycbcr", subsampling=(2, 2), tile=tile)
    yield array("jpeg-grey.tif", smooth(130, 140), compression="jpeg", rowsperstrip=32)
    yield array("jpeg2000-u2.tif", grey16, compression="jpeg2000", compressionargs={"level": 0, "reversible": True}, tile=tile)
    yield array("jpeg2000-rgb.tif", rgb, compression="jpeg2000", compressionargs={"level": 30}, photometric="rgb", tile=tile)
    yield array("webp.tif", rgb, compression="webp", compressionargs={"lossless": True}, photometric="rgb", tile=tile)
    yield array("png.tif", rgb, compression="png", photometric="rgb", tile=tile)
    yield array("lerc.tif", coordinates((90, 100), "float32"), compression="lerc", tile=tile)
    yield array("jpegxl.tif", rgb, compression="jpegxl", compressionargs={"lossless": True}, photometric="rgb", tile=tile)


def dtypes() -> Iterator[Input]:
    """Every type of pixel, and the kinds of page that are converted to another."""
    for code in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"):
        yield array(f"dtype-{code}.tif", coordinates((100, 131), np.dtype(code).name), rowsperstrip=50)
    for code in ("u8", "i8"):
        yield array(f"dtype-{code}.tif", coordinates((100, 131), "uint16").astype(code), compression="deflate", tile=(32, 48))
    yield array("dtype-f2.tif", smooth(80, 90).astype("f2") / 3)
    broken = coordinates((140, 150), "float32")
    broken[10:30, 20:90], broken[50:53, 7], broken[60, 60], broken[61, 61], broken[128:, 128:] = np.nan, np.nan, np.inf, -np.inf, np.nan
    yield array("nan-inf.tif", broken, tile=(64, 64))
    yield array("nan-only.tif", np.full((70, 70), np.nan, "f4"))
    yield array("bilevel.tif", coordinates((65, 77), "uint8") % 3 == 0)
    yield array("miniswhite.tif", coordinates((65, 77), "uint8"), photometric="miniswhite")
    colours = np.stack([np.arange(256) * 257, np.arange(256)[::-1] * 257, np.arange(256) % 16 * 4369]).astype("u2")
    yield array("palette.tif", coordinates((130, 70), "uint8"), photometric="palette", colormap=colours)
    yield array("big-endian-u2.tif", coordinates((130, 120), "uint16"), byteorder=">", tile=(64, 64), compression="deflate", predictor=2)
    yield array("big-endian-f4.tif", coordinates((65, 80), "float32"), byteorder=">", compression="zstd", predictor=3)
    yield array("bigtiff.tif", coordinates((65, 80), "int32"), byteorder=">", bigtiff=True)


def layouts() -> Iterator[Input]:
    """Where segments lie, how large they are, and how large the image is."""
    for height, width in ((1, 1), (1, 300), (300, 1), (255, 255), (256, 256), (257, 257), (1000, 3), (3, 1000), (64, 128)):
        yield array(f"size-{height}x{width}.tif", coordinates((height, width), "uint16"), compression="deflate")
    yield array("one-strip.tif", coordinates((300, 200), "uint8"))
    yield array("strips-of-7.tif", coordinates((300, 200), "uint16"), rowsperstrip=7)
    yield array("strips-of-1.tif", coordinates((70, 200), "uint16"), rowsperstrip=1, compression="lzw")
    yield array("tiles-16x48.tif", coordinates((150, 170), "uint16"), tile=(16, 48), compression="deflate")
    yield array("tiles-240.tif", coordinates((500, 490), "uint8"), tile=(240, 240), compression="deflate")
    yield array("tiles-one-wide.tif", coordinates((200, 60), "uint8"), tile=(64, 64))
    yield array("tile-larger.tif", coordinates((30, 40), "uint8"), tile=(128, 256), compression="lzw")
    rgb = coordinates((140, 150), "uint8", 3)
    yield array("rgb-strips.tif", rgb, photometric="rgb", rowsperstrip=20)
    yield array("rgb-tiles.tif", rgb, photometric="rgb", tile=(64, 64), compression="deflate", predictor=2)
    separate = np.moveaxis(rgb, -1, 0)
    yield array("rgb-separate-strips.tif", separate, photometric="rgb", planarconfig="separate", rowsperstrip=33)
    yield array("rgb-separate-tiles.tif", separate, photometric="rgb", planarconfig="separate", tile=(48, 80), compression="lzw")
    rgba = coordinates((90, 70), "uint8", 4)
    yield array("rgba.tif", rgba, photometric="rgb", extrasamples=["unassalpha"], compression="zstd")
    yield array("rgb-u2.tif", coordinates((90, 70), "uint16", 3), photometric="rgb", tile=(32, 32))
    yield array("rgb-f4.tif", coordinates((90, 70), "float32", 3), photometric="rgb")
    yield array("samples-5.tif", coordinates((60, 50), "uint16", 5), planarconfig="contig", extrasamples=["unspecified"] * 4)
    yield Input("by-hand.tif", lambda path: path.write_bytes(build([grey(bytes(range(240)), 20, 12)], order=">", big=True)))


def colours() -> Iterator[Input]:
    """Colours by an ICC profile."""
    yield array("profile-rgb.tif", smooth(90, 110, 3), photometric="rgb", iccprofile=inks(), compression="deflate")


def inked() -> Iterator[Input]:
    """Colours that are converted to sRGB or refused."""
    yield array("profile-cmyk.tif", smooth(140, 150, 4), photometric="separated", iccprofile=inks(), compression="deflate", rowsperstrip=20)


def stacks() -> Iterator[Input]:
    """More than one plane, and who says what they are."""
    yield array("pages.tif", coordinates((5, 70, 80), "uint16"))
    yield array("shaped.tif", coordinates((2, 3, 40, 50), "uint8"), metadata={"axes": "CZYX"})
    stack = coordinates((2, 3, 2, 40, 50), "uint16")
    spacing = {"axes": "TZCYX", "spacing": 2.5, "unit": "um", "finterval": 0.5}
    yield array("imagej.tif", stack, imagej=True, resolution=(4.0, 4.0), metadata=spacing)
    names = ['Name="DAPI &amp; co" Color="65535"', 'Name="GFP" Color="16711935"', 'EmissionWavelength="640"']
    sizes = 'PhysicalSizeX="0.325" PhysicalSizeY="0.325" PhysicalSizeZ="1.5" PhysicalSizeZUnit="µm" TimeIncrement="2"'
    five = coordinates((2, 3, 3, 66, 70), "uint16")
    xml = ome_xml("70 66 3 3 2", "u2", channels=names, pixels=sizes)
    yield array("ome-5d.ome.tif", five, description=xml.encode(), tile=(32, 32), compression="deflate")
    many = ome_xml("130 100 9 1 1", "f4", channels=[f'Name="marker {n}"' for n in range(9)], pixels=sizes)
    yield array("ome-channels.ome.tif", coordinates((9, 100, 130), "float32"), description=many.encode())
    depth = ome_xml("90 80 1 20 1", "u1", channels=[""], pixels='PhysicalSizeX="100" PhysicalSizeXUnit="nm" PhysicalSizeY="100"')
    yield array("ome-z.ome.tif", coordinates((20, 80, 90), "uint8"), description=depth.encode(), compression="lzw")
    colour = ome_xml("150 140 3 1 1", "u1", samples=3, channels=['Name="Brightfield"'], pixels=sizes)
    yield array("ome-rgb.ome.tif", coordinates((140, 150), "uint8", 3), photometric="rgb", tile=(64, 64), description=colour.encode())
    yield Input("set.ome.tif", _set)
    yield Input("pyramid.ome.tif", _pyramid)
    yield Input("two-images.tif", _two_images)


def volumes() -> Iterator[Input]:
    """Stacks whose stated sizes have them halved in z, from the first level on or later, and stored in deep chunks."""
    cubes = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="500" PhysicalSizeZUnit="nm"'
    near = ome_xml("90 76 1 70 1", "u2", channels=[""], pixels=cubes)
    whole = {"rowsperstrip": 76, "compression": "deflate"}
    yield array("volume.ome.tif", coordinates((70, 76, 90), "uint16"), description=near.encode(), **whole)
    far = ome_xml("150 130 2 11 1", "u1", channels=["", ""], pixels=cubes.replace('"500"', '"1500"'))
    strips = {"rowsperstrip": 16, "compression": "lzw"}
    yield array("volume-far.ome.tif", coordinates((22, 130, 150), "uint8"), description=far.encode(), **strips)
    series = ome_xml("70 66 1 65 2", "f4", channels=[""], pixels=cubes)
    yield array("volume-series.ome.tif", coordinates((130, 66, 70), "float32"), description=series.encode())


def _set(path: Path) -> None:
    """Two z planes in two files."""
    other = path.with_name("set-z1.ome.tif")
    ids = {path.name: "11111111-1111-1111-1111-111111111111", other.name: "22222222-2222-2222-2222-222222222222"}
    content = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{ids[name]}</UUID></TiffData>'
        for z, name in enumerate(ids)
    )
    for z, name in enumerate(ids):
        xml = ome_xml("50 40 1 2 1", "u2", channels=[""], content=content)
        xml = xml.replace(f'xmlns="{OME}"', f'xmlns="{OME}" UUID="urn:uuid:{ids[name]}"')
        tifffile.imwrite(path.with_name(name), coordinates((2, 40, 50), "uint16")[z], description=xml, metadata=None)


def _pyramid(path: Path) -> None:
    """Levels stored as SubIFDs: 2 and 4 times smaller, and not the means that this program would make."""
    base = coordinates((256, 320), "uint16")
    tiled = {"tile": (64, 64), "compression": "deflate", "metadata": None, "photometric": "minisblack"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(base, subifds=2, description=ome_xml("320 256 1 1 1", "u2", channels=[""]), **tiled)
        for step in (2, 4):
            tiff.write(base[::step, ::step], subfiletype=1, **tiled)


def _two_images(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(coordinates((64, 80), "uint16"), metadata=None)
        tiff.write(coordinates((50, 30), "uint8", 3), photometric="rgb", metadata=None)


def sparse() -> Iterator[Input]:
    """What lacks segments or planes."""
    yield Input("sparse.tif", _sparse)
    content = '<TiffData FirstZ="0" IFD="0" PlaneCount="1"/><TiffData FirstZ="2" IFD="1" PlaneCount="1"/>'
    hole = ome_xml("50 40 1 3 1", "u2", channels=[""], content=content)
    yield array("missing-plane.ome.tif", coordinates((2, 40, 50), "uint16"), description=hole.encode())


def _sparse(path: Path) -> None:
    """Four tiles, of which two are nowhere."""
    data = coordinates((64, 32), "uint8").tobytes()
    page = grey(data, 64, 64, t273="absent", t278="absent", t279="absent", t322=(4, [32]), t323=(4, [32]))
    page |= {324: (4, [8, 0, 0, 8 + 1024]), 325: (4, [1024, 0, 0, 1024])}
    path.write_bytes(build([page]))


def large() -> Iterator[Input]:
    """One segment of 18 MB: read by rows, as a stream, or decoded whole or into a file."""
    pixels = np.repeat(coordinates((4500, 400), "uint8"), 10, 1)
    yield array("large-raw.tif", pixels)
    yield array("large-deflate.tif", pixels, compression="deflate", rowsperstrip=4500)
    yield array("large-lzw.tif", pixels, compression="lzw", rowsperstrip=4500)
    yield array("large-zstd.tif", pixels, compression="zstd", predictor=2, rowsperstrip=4500)
