"""Makes the two samples in data/input from their sources; see README.md beside this file for where these come from.

    python data/make_samples.py CMU-1-Small-Region.tiff 6001240_labels.zarr

Pixels are only selected, never changed: the JPEG tiles of the slide are copied as they are, the planes of the stack are stored losslessly.
"""

import sys
from pathlib import Path
from typing import Any

import tifffile
import zarr

INPUT = Path(__file__).parent / "input"
PLANES = slice(40, 201, 20)  # 9 of the 236 z planes, through the whole embryo


def brightfield(source: Path, target: Path) -> None:
    """Copies the base image of the slide, without label, macro and thumbnail, and states its pixel size in OME-XML."""
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages.first
        properties = dict(part.split(" = ", 1) for part in page.description.split("|") if " = " in part)
        micrometers = float(properties["MPP"])
        tifffile.imwrite(
            target,
            (read_at(tiff, *place) for place in zip(page.dataoffsets, page.databytecounts, strict=True)),
            shape=page.shape,
            dtype=page.dtype,
            photometric=page.photometric,
            compression=page.compression,
            compressionargs={"outcolorspace": page.photometric},  # the JPEG data is RGB, as the tag says
            jpegtables=page.jpegtables,
            tile=(page.tilelength, page.tilewidth),
            ome=True,
            metadata={"axes": "YXS", "Name": "CMU-1-Small-Region", **pixel_size(micrometers), "Channel": {"Name": ["Brightfield"]}},
        )


def fluorescence(source: Path, target: Path) -> None:
    """Takes every 20th z plane of both channels, with the names, colours and sizes that the source states."""
    group = zarr.open_group(source, mode="r")
    ome: Any = group.attrs["ome"]
    channels = ome["omero"]["channels"]
    _, dz, dy, dx = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    if dy != dx:
        raise ValueError(f"{source}: pixels are not square: {dy} x {dx}")
    level: Any = group["0"]
    tifffile.imwrite(
        target,
        level[:, PLANES],
        photometric="minisblack",
        compression="deflate",
        compressionargs={"level": 9},
        predictor=True,
        tile=(256, 256),
        ome=True,
        metadata={
            "axes": "CZYX",
            "Name": "idr0062A 6001240",
            **pixel_size(dx),
            "PhysicalSizeZ": dz * PLANES.step,
            "PhysicalSizeZUnit": "µm",
            "Channel": {"Name": [c["label"] for c in channels], "Color": [signed_rgba(c["color"]) for c in channels]},
        },
    )


def read_at(tiff: tifffile.TiffFile, offset: int, length: int) -> bytes:
    """The bytes of one segment as they are in the file."""
    tiff.filehandle.seek(offset)
    return tiff.filehandle.read(length)


def pixel_size(micrometers: float) -> dict[str, Any]:
    """OME-XML's attributes for square pixels."""
    return {"PhysicalSizeX": micrometers, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": micrometers, "PhysicalSizeYUnit": "µm"}


def signed_rgba(color: str) -> int:
    """OME-XML's Color: 0xRRGGBBAA as a signed 32-bit integer, opaque."""
    value = int(color + "FF", 16)
    return value - (1 << 32) if value >= 1 << 31 else value


if __name__ == "__main__":
    brightfield(Path(sys.argv[1]), INPUT / "brightfield.ome.tiff")
    fluorescence(Path(sys.argv[2]), INPUT / "fluorescence.ome.tiff")
