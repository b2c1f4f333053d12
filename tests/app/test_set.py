"""A set of many files with an image each: it is looked at once, and each image has its own pixels."""

from pathlib import Path
from xml.etree import ElementTree

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


def written(folder: Path, around: str = "") -> str:
    """A set in a folder, whose first file's document is returned. `around`: what else it says."""
    folder.mkdir()
    images = "\n  ".join(_IMAGE.format(k=k) for k in range(COUNT))
    texts = [
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{k}">{around}\n  {images}\n</OME>'
        for k in range(COUNT)
    ]
    for k, text in enumerate(texts):
        tifffile.imwrite(folder / f"{k}.ome.tif", np.full((20, 20), k, np.uint16), description=text, metadata=None)
    return texts[0]


def names() -> list[str]:
    return [f"0.series{k}.ome.zarr" if k else "0.ome.zarr" for k in range(COUNT)]


def test_each_dataset_keeps_what_is_said_of_its_own_image(tmp_path: Path) -> None:
    around = '<Instrument ID="Instrument:0"><Microscope Model="a &amp; b"/></Instrument>'
    text = written(tmp_path / "in", around)
    command = ["--quiet", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out"), "--initial-downsample", "1"]
    assert cli.main(command) == 0
    for k, name in enumerate(names()):
        kept = (tmp_path / "out" / name / "OME/METADATA.ome.xml").read_text()
        root = ElementTree.fromstring(text)
        for node in [node for node in root if node.tag.endswith("Image") and node.get("ID") != f"Image:{k}"]:
            root.remove(node)
        both = kept, ElementTree.tostring(root, encoding="unicode")
        canonical = [ElementTree.canonicalize(one, strip_text=True, rewrite_prefixes=True) for one in both]
        assert canonical[0] == canonical[1]
        assert around in kept and f"\n  {_IMAGE.format(k=k)}" in kept and "\n  \n" not in kept  # as it was written
        source = str(tmp_path / "in" / "0.ome.tif")
        assert cli.main(["verify", str(tmp_path / "out" / name), "--source", source]) == 0
        assert cli.main(["restore", str(tmp_path / "out" / name), str(tmp_path / f"{k}.ome.tif")]) == 0
        assert np.unique(tifffile.imread(tmp_path / f"{k}.ome.tif")).tolist() == [k]


def test_what_earlier_versions_kept_is_the_sources_too(tmp_path: Path) -> None:
    text = written(tmp_path / "in")
    assert cli.main(["--quiet", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]) == 0
    dataset = tmp_path / "out" / names()[1]
    verify = ["verify", str(dataset), "--source", str(tmp_path / "in" / "0.ome.tif")]
    (dataset / "OME/METADATA.ome.xml").write_text(text)
    assert cli.main(verify) == 0
    (dataset / "OME/METADATA.ome.xml").write_text(text.replace("20", "21"))
    assert cli.main(verify) == 1


def test_a_document_that_is_broken_is_kept_whole(tmp_path: Path) -> None:
    text = written(tmp_path / "in", "<!--\x02-->")
    assert cli.main(["--quiet", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / names()[3] / "OME/METADATA.ome.xml").read_text() == text


def test_a_field_that_is_a_dataset_of_its_own_is_restored_without_its_plate(tmp_path: Path) -> None:
    """Its wells stay in what is kept; converted again the one image would else be a plate."""
    samples = "".join(f'<WellSample ID="s:{k}" Index="{k}"><ImageRef ID="Image:{k}"/></WellSample>' for k in range(COUNT))
    written(tmp_path / "in", f'<Plate ID="Plate:0"><Well ID="w" Row="0" Column="0">{samples}</Well></Plate>')
    flags = ["--quiet", "--initial-downsample", "1"]
    assert cli.main([*flags, "--plates", "off", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]) == 0
    for name in names()[:2]:
        assert "<Plate" in (tmp_path / "out" / name / "OME/METADATA.ome.xml").read_text()
        assert cli.main(["restore", str(tmp_path / "out" / name), str(tmp_path / "back.ome.tif")]) == 0
        assert cli.main([*flags, str(tmp_path / "back.ome.tif"), str(tmp_path / "again")]) == 0
        assert zarr.open_group(tmp_path / "again/back.ome.zarr", mode="r")["0"].shape[-2:] == (20, 20)
        (tmp_path / "back.ome.tif").unlink()
