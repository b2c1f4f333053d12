"""A set of many files with an image each: it is looked at once, and each image has its own pixels."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from omezarr_proc import cli
from omezarr_proc.app import opening

COUNT = 8
_IMAGE = (
    '<Image ID="Image:{k}">'
    '<Pixels ID="Pixels:{k}" DimensionOrder="XYCZT" Type="uint16" SizeX="20" SizeY="20" SizeC="1" SizeZ="1" SizeT="1">'
    '<Channel ID="Channel:{k}:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"><UUID FileName="{k}.ome.tif">urn:uuid:{k}</UUID>'
    "</TiffData></Pixels></Image>"
)


def test_each_file_is_looked_at_once_and_each_image_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    images = "".join(_IMAGE.format(k=k) for k in range(COUNT))
    for k in range(COUNT):
        text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{k}">{images}</OME>'
        tifffile.imwrite(tmp_path / f"in/{k}.ome.tif", np.full((20, 20), k, np.uint16), description=text, metadata=None)
    looked: list[object] = []
    real = opening.real
    monkeypatch.setattr(opening, "real", lambda path: (looked.append(path), real(path))[1])
    assert cli.main(["--quiet", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]) == 0
    assert len(looked) == 2 * COUNT  # as an input and as a member: not again for each image
    for k in range(COUNT):
        name = f"0.series{k}.ome.zarr" if k else "0.ome.zarr"
        assert np.unique(zarr.open_array(tmp_path / "out" / name / "0", mode="r")[:]).tolist() == [k]
