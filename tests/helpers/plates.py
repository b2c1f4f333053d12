"""Well plates as OME-TIFF: one file of many images, or a set with a file for each field."""

from pathlib import Path

import numpy as np
import tifffile

SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def field_pixels(number: int, shape: tuple[int, int, int] = (2, 70, 90)) -> np.ndarray:
    """The pixels [c, y, x] of the field with this number."""
    return np.random.default_rng(number).integers(0, 4000, shape, np.uint16)


def plate_xml(
    wells: list[tuple[int, int, int]], *, files: list[str] | None = None, attributes: str = "", runs: int = 0, uuid: str = ""
) -> str:
    """OME-XML of a plate: (row, column, fields) for each well, images in this order, planes of 2 channels.

    files  the file of each image; None: all in this one
    runs   how many PlateAcquisitions share the fields of each well in turn
    """
    images, inside, runs_of, number = [], [], [[] for _ in range(runs)], 0
    for row, column, fields in wells:
        samples = []
        for index in range(fields):
            sample = f"WellSample:{row}:{column}:{index}"
            samples.append(f'<WellSample ID="{sample}" Index="{index}"><ImageRef ID="Image:{number}"/></WellSample>')
            if runs:
                runs_of[index % runs].append(f'<WellSampleRef ID="{sample}"/>')
            if files:
                data = f'<TiffData IFD="0" PlaneCount="2"><UUID FileName="{files[number]}">urn:uuid:{files[number]}</UUID></TiffData>'
            else:
                data = f'<TiffData IFD="{2 * number}" PlaneCount="2"/>'
            images.append(
                f'<Image ID="Image:{number}" Name="Field {number}"><Pixels ID="Pixels:{number}" Type="uint16" DimensionOrder="XYZCT" '
                f'SizeX="90" SizeY="70" SizeZ="1" SizeC="2" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
                f'<Channel Name="DAPI"/><Channel Name="GFP"/>{data}</Pixels></Image>'
            )
            number += 1
        inside.append(f'<Well ID="Well:{row}:{column}" Row="{row}" Column="{column}">{"".join(samples)}</Well>')
    acquired = "".join(
        f'<PlateAcquisition ID="Run:{n}" Name="Day {n}">{"".join(refs)}</PlateAcquisition>' for n, refs in enumerate(runs_of)
    )
    plate = f'<Plate ID="Plate:0" Name="Screen 7" {attributes}>{"".join(inside)}{acquired}</Plate>'
    return f"<OME {SPACE}{f' UUID={uuid!r}' if uuid else ''}>{plate}{''.join(images)}</OME>"


def write_plate(path: Path, wells: list[tuple[int, int, int]], **options: object) -> int:
    """Write the plate into one file; returns how many fields it has."""
    count = sum(fields for *_, fields in wells)
    with tifffile.TiffWriter(path) as file:
        for number in range(count):
            text = plate_xml(wells, **options).encode() if number == 0 else None
            file.write(field_pixels(number), description=text, photometric="minisblack", metadata=None, contiguous=False)
    return count


def write_set(folder: Path, wells: list[tuple[int, int, int]]) -> list[str]:
    """Write each field into a file of its own, each with the whole OME-XML; returns their names."""
    names = [f"field-{number}.ome.tif" for number in range(sum(fields for *_, fields in wells))]
    for number, name in enumerate(names):
        text = plate_xml(wells, files=names, uuid=f"urn:uuid:{name}").encode()
        tifffile.imwrite(folder / name, field_pixels(number), description=text, photometric="minisblack", metadata=None)
    return names


def damage(path: Path, number: int) -> None:
    """Write a file of a set anew, compressed, with its second plane zeroed: its header can be read, and its pixels cannot."""
    with tifffile.TiffFile(path) as file:
        text = file.pages[0].description.encode()
    tifffile.imwrite(path, field_pixels(number), description=text, photometric="minisblack", metadata=None, compression="deflate")
    with tifffile.TiffFile(path) as file:
        (offset,), (size,) = file.pages[1].dataoffsets, file.pages[1].databytecounts
    with open(path, "r+b") as raw:
        raw.seek(offset)
        raw.write(bytes(size))
