"""Valid small TIFFs of many kinds for the fuzzer, small enough that a change mostly hits the structure."""

import struct
from pathlib import Path

import jpeg2000
import ndpi
import numpy as np
import tifffile
from ome import ome
from tiffs import build, grey

PAIR = '<TiffData IFD="0" PlaneCount="1" FirstZ="{0}"><UUID FileName="{1}">urn:uuid:{0}</UUID></TiffData>'
OPTIONS = [
    {"compression": "zlib", "predictor": 2},
    {"compression": "lzw", "rowsperstrip": 5},
    {"tile": (16, 16), "compression": "jpeg"},
    {"tile": (16, 16), "byteorder": ">"},
    {"tile": (16, 32), "compression": "zstd", "bigtiff": True},
    {"imagej": True, "metadata": {"axes": "ZYX", "LUTs": [np.tile(np.arange(256, dtype="u1"), (3, 1))], "spacing": 2.0, "unit": "um"}},
    {"imagej": True, "byteorder": ">", "metadata": {"axes": "TYX", "finterval": 0.5}, "truncate": False},
    {"ome": True, "compression": "zstd", "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5, "Channel": {"Name": "a"}}},
    {"ome": True, "bigtiff": True, "metadata": {"axes": "CYX", "Channel": {"Name": ["a", "b"], "EmissionWavelength": [461, 520]}}},
    {"bigtiff": True, "compression": "packbits", "metadata": {"axes": "QYX"}},
    {"truncate": True},
    {"photometric": "miniswhite", "metadata": None},
    {"description": '<MetaData><prop id="_IllumSetting_" value="DAPI"/></MetaData>', "metadata": None},
    {"description": "Aperio Image Library\r\n20x24 label", "metadata": None, "tile": (16, 16)},
    {"description": "<PerkinElmer-QPI-ImageDescription><ImageType>FullResolution</ImageType><Name>a</Name>", "metadata": None},
]
CODECS = ["jpeg", "jpeg2000", "png", "webp", "lzma", "jpegxl", "jpegxr", "lerc"]


def seeds(folder: Path) -> list[bytes]:
    """Their contents; leaves the second file of a set, set2.ome.tif, and the companion of one, set.companion.ome, in the folder."""
    grid = np.random.default_rng(0).integers(0, 255, (2, 24, 20), "u1")
    rgb = np.random.default_rng(1).integers(0, 255, (24, 20, 3), "u1")
    path = folder / "seed.tif"

    def written(pixels, **options):
        tifffile.imwrite(path, pixels, **options)
        return path.read_bytes()

    found = [written(grid, **{"photometric": "minisblack", **options}) for options in OPTIONS]
    found += [written(rgb, photometric="rgb", compression=codec, metadata=None, tile=(16, 16) if codec == "jpeg" else None)
              for codec in CODECS]  # fmt: skip
    found += [written(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate", compression="lzw", predictor=2)]
    found += [written(grid[0], photometric="palette", colormap=np.arange(768, dtype="u2").reshape(3, 256)[:, ::-1] * 80)]
    found += [written(grid.astype(kind), compression="zlib", predictor=3, photometric="minisblack") for kind in ("f2", "f4", "f8")]
    found += [written(grid > 100, photometric="minisblack"), written(grid[0].astype("u2") * 9, bigtiff=True, byteorder=">")]
    path.unlink()
    with tifffile.TiffWriter(folder / "levels.tif") as file:
        file.write(grid[0], tile=(16, 16), subifds=1, metadata={"axes": "YX"})
        file.write(grid[0, ::2, ::2], tile=(16, 16), subfiletype=1)
    found.append((folder / "levels.tif").read_bytes())
    (folder / "levels.tif").unlink()
    data = bytes(range(12))
    pairs = "".join(PAIR.format(number, name) for number, name in enumerate(["set1.ome.tif", "set2.ome.tif"]))
    described = ome(z=2, inside=pairs).replace(b"<OME ", b'<OME UUID="urn:uuid:0" ', 1)
    only = b'<OME xmlns="x"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:9"/></OME>\0'
    member = build([grey(data, 4, 3, t270=(2, described.replace(b"uuid:0", b"uuid:1", 1)))])
    (folder / "set2.ome.tif").write_bytes(member)
    (folder / "set.companion.ome").write_bytes(described[:-1])
    rest = 'PhysicalSizeX="0.5" PhysicalSizeXUnit="nm" TimeIncrement="2" BigEndian="true"'
    inside = '<Channel Name="a" Color="-16776961" SamplesPerPixel="1"/><TiffData IFD="1" FirstC="1"/><TiffData/><ModuloAlongZ Type="x"/>'
    slide = [ndpi.page(ndpi.slide(32, 128), 20.0), ndpi.page(ndpi.slide(16, 64), -1.0)]
    parts = ndpi.ndpi(slide)
    jpeg2000.saved(path, jpeg2000.colours(), 33003, **jpeg2000.APERIO)
    aperio = path.read_bytes()
    path.unlink()
    hamamatsu = {"t271": (2, b"Hamamatsu\0"), "t65420": (4, [1]), "t65421": (4, [20]), "t65426": (4, [0, 4, 8])}
    return [
        *found,
        aperio,
        b"".join(content for _, content in parts),
        build([grey(data, 4, 3, t270=(2, described))]),
        build([grey(data, 4, 3, t270=(2, only))], ">"),
        build([grey(data, 4, 3, t270=(2, ome(c=2, more=" " + rest, inside=inside)))] * 2),
        build([grey(data, 4, 3, t270=(2, ome(z=3, inside='<TiffData IFD="1" PlaneCount="2" FirstZ="1"/>')))] * 3),
        build([grey(data, 4, 3, t282=(4, [1, 2]), t283=(4, [1, 2]), t296=(3, [3]))] * 3, ">", True),
        build([grey(data * 4, 4, 3, t270=(2, b"ImageJ=1.53\nimages=4\nchannels=2\nslices=2\nunit=\\u00B5m\n\0"))]),
        build([grey(struct.pack("<HHHH", 1, 2, 3, 4), 2, 2, 16, t266=(3, [2]), t42113=(2, b"7\0"))]),
        build([grey(data, 4, 3, **hamamatsu), grey(data, 4, 3)]),
    ]
