"""Well plates: one dataset of all fields, published as one tree, gone on with field by field."""

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import tifffile
import zarr
from conversion import convert, digest
from engines import Few
from plates import damage, field_pixels, plate_xml, write_plate, write_set

from omezarr_proc import cli
from omezarr_proc.app.report import Report
from omezarr_proc.app.unfinished import Fields, look
from omezarr_proc.build.means import Means
from omezarr_proc.build.plate import PlateConversion
from omezarr_proc.build.sheet import GAP
from omezarr_proc.build.verify import refuse_different
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine
from omezarr_proc.engine.serial import Serial
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store.read import Dataset
from omezarr_proc.tiff.describe.images import open_images

# Rows out of order, an empty well, fields of their own number.
WELLS = [(2, 11, 2), (0, 1, 1), (0, 0, 2), (1, 5, 0)]
FIELDS = {"C/12/0": 0, "C/12/1": 1, "A/2/0": 2, "A/1/0": 3, "A/1/1": 4}
LIMITS = Limits(memory_bytes=512 << 20, headroom_bytes=512 << 20, memory_source="a test", cpus=1.0, cpu_source="a test")


def test_a_plate_is_one_dataset_that_the_models_read(tmp_path: Path) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS, attributes='Rows="8" Columns="12"', runs=2)
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out", "--initial-downsample", "1") == 0

    assert os.listdir(tmp_path / "out") == ["screen.ome.zarr"]
    group = zarr.open_group(tmp_path / "out/screen.ome.zarr", mode="r")
    plate = ome_zarr_models.v05.HCS.from_zarr(group).attributes.ome.plate
    assert (plate.name, len(plate.rows), len(plate.columns), plate.field_count) == ("Screen 7", 8, 12, 2)
    assert [(well.path, well.rowIndex, well.columnIndex) for well in plate.wells] == [("A/1", 0, 0), ("A/2", 0, 1), ("C/12", 2, 11)]
    assert [(run.id, run.name, run.maximumfieldcount) for run in plate.acquisitions] == [(0, "Day 0", 1), (1, "Day 1", 1)]
    for path, number in FIELDS.items():
        assert np.array_equal(group[f"{path}/0"][:], field_pixels(number))
    well = ome_zarr_models.v05.Well.from_zarr(group["A/1"]).attributes.ome.well
    assert [(image.path, image.acquisition) for image in well.images] == [("0", 0), ("1", 1)]
    assert group.attrs["plate"]["version"] == "0.4" and group["A/1"].attrs["well"]["version"] == "0.4"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in files if path.name.startswith(".") or path.name.endswith(".xml")] == ["METADATA.ome.xml"]
    assert cli.main(["validate", "--deep", str(tmp_path / "out/screen.ome.zarr")]) == 0


def test_a_plate_in_zarr_v2(tmp_path: Path) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS)
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out", "--zarr-format", "2") == 0
    group = zarr.open_group(tmp_path / "out/screen.ome.zarr", mode="r", zarr_format=2)
    plate = ome_zarr_models.v04.HCS.from_zarr(group).attributes.plate
    assert [row.name for row in plate.rows] == ["A", "B", "C"] and plate.acquisitions is None


def test_the_fields_are_what_they_are_without_the_plate(tmp_path: Path) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS)
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out") == 0
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "apart", "--plates", "off", "--ome-xml", "drop") == 0
    for path, number in FIELDS.items():
        apart = digest(tmp_path / "apart" / (f"screen.series{number}.ome.zarr" if number else "screen.ome.zarr"))
        field = digest(tmp_path / "out/screen.ome.zarr" / path)
        assert {name: of for name, of in field.items() if name != "zarr.json"} == {n: of for n, of in apart.items() if n != "zarr.json"}


def test_a_set_of_files_is_one_plate(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = write_set(tmp_path / "in", WELLS)
    assert convert(tmp_path / "in" / names[3], tmp_path / "one", "--initial-downsample", "1") == 0
    flags = ["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "all"), "--initial-downsample", "1", "--quiet"]
    assert cli.main(flags) == 0
    assert os.listdir(tmp_path / "all") == ["field-0.ome.zarr"]
    group = zarr.open_group(tmp_path / "all/field-0.ome.zarr", mode="r")
    for path, number in FIELDS.items():
        assert np.array_equal(group[f"{path}/0"][:], field_pixels(number))


def test_a_run_that_was_stopped_goes_on_with_the_next_field(tmp_path: Path) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS)
    out, whole = tmp_path / "out/screen.ome.zarr", tmp_path / "whole/screen.ome.zarr"
    fields = tuple(open_images(str(tmp_path / "screen.ome.tif")))

    def conversion(engine: Engine, folder: Path) -> PlateConversion:
        settings = Settings(output_dir=folder)
        return PlateConversion(images=fields, means=Means(settings=settings, limits=LIMITS, engine=engine, report=Report()))

    with closing(Serial()) as serial:
        with Lock(whole) as lock:
            conversion(serial, whole.parent).run(whole, lock)
        stopped = conversion(Few(serial, 5), out.parent)  # two channels a field: within the third one
        with Lock(out) as lock, pytest.raises(OutOfTimeError, match="after 2 of 5 fields"):
            stopped.run(out, lock)
        assert sorted(os.listdir(out.parent)) == [".screen.ome.zarr.partial", ".screen.ome.zarr.record"]
        staged = out.parent / ".screen.ome.zarr.partial"
        made = {path: (staged / path / "zarr.json").stat().st_ino for path in ("A/1/0", "A/1/1")}
        _, (unfinished,) = look(out.parent)
        assert unfinished.fields == Fields(2, ["A/2/0", "C/12/0", "C/12/1"])
        with Lock(out) as lock:
            summary = conversion(serial, out.parent).run(out, lock)
    assert digest(out) == digest(whole)
    assert {path: (out / path / "zarr.json").stat().st_ino for path in made} == made
    assert summary.chunks == 10 and os.listdir(out.parent) == ["screen.ome.zarr"]


def test_fields_of_an_earlier_run_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS)
    out = tmp_path / "out/screen.ome.zarr"
    staged = out.parent / ".screen.ome.zarr.partial"
    fields = tuple(open_images(str(tmp_path / "screen.ome.tif")))
    compared: list[str] = []

    def noted(dataset: Dataset, *others: Any) -> None:
        compared.append(str(Path(str(dataset.path)).relative_to(staged)))
        refuse_different(dataset, *others)

    monkeypatch.setattr("omezarr_proc.build.verify.refuse_different", noted)

    def conversion(engine: Engine, *, verify: bool) -> PlateConversion:
        settings = Settings(output_dir=out.parent, verify=verify)
        return PlateConversion(images=fields, means=Means(settings=settings, limits=LIMITS, engine=engine, report=Report()))

    with closing(Serial()) as serial:
        with Lock(out) as lock, pytest.raises(OutOfTimeError, match="after 2 of 5 fields"):
            conversion(Few(serial, 5), verify=False).run(out, lock)
        chunk, other = (staged / field / "0/c/0/0/0" for field in ("A/1/0", "A/1/1"))
        good = chunk.read_bytes()
        chunk.write_bytes(other.read_bytes())
        assert chunk.read_bytes() != good
        with Lock(out) as lock:
            conversion(serial, verify=True).run(out, lock)
    assert compared == ["A/1/0", "A/1/1", "A/2/0", "C/12/0", "C/12/1"]
    assert (out / "A/1/0/0/c/0/0/0").read_bytes() == good


def test_a_broken_field_keeps_the_plate_from_being_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    names = write_set(tmp_path / "in", [(0, 0, 1), (0, 1, 1), (1, 0, 1)])
    damage(tmp_path / "in" / names[1], 1)
    assert convert(tmp_path / "in" / names[0], tmp_path / "out") == 1
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "1 of 3 fields failed, so the plate is not published" in said and names[1] in said and "PLATES=off" in said
    assert not (tmp_path / "out/field-0.ome.zarr").exists()
    staged = tmp_path / "out/.field-0.ome.zarr.partial"
    assert [(staged / path / "zarr.json").exists() for path in ("A/1/0", "A/2/0", "B/1/0")] == [True, False, True]


@pytest.mark.parametrize(
    ("wells", "attributes", "reason"),
    [([(10_000, 0, 1)], "", "10001 rows"), ([(0, 0, 1)], 'Rows="-1"', "Rows is '-1'")],
)
def test_a_plate_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wells: list[tuple[int, int, int]], attributes: str, reason: str
) -> None:
    write_plate(tmp_path / "screen.ome.tif", wells, attributes=attributes)
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert reason in captured.out + captured.err


def test_images_beside_a_plate_keep_names_of_their_own(tmp_path: Path) -> None:
    loose = (
        '<Image ID="Image:9" Name="Overview"><Pixels ID="Pixels:9" Type="uint16" DimensionOrder="XYZCT" SizeX="90" SizeY="70" SizeZ="1" '
    )
    loose += 'SizeC="2" SizeT="1"><TiffData IFD="2" PlaneCount="2"/></Pixels></Image></OME>'
    text = plate_xml([(0, 0, 1)]).replace("</OME>", loose)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for number in range(2):
            file.write(field_pixels(number), description=None if number else text.encode(), metadata=None, contiguous=False)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "out", "--images", "all") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a.ome.zarr", "a.series1.ome.zarr"]


def test_info_tells_of_the_plate_and_its_first_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS, attributes='Rows="8" Columns="12"')
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out") == 0
    capsys.readouterr()
    assert cli.main(["info", "--json", str(tmp_path / "out/screen.ome.zarr")]) == 0
    (told,) = json.loads(capsys.readouterr().out)["files"]
    assert told["collection"] == {"name": "Screen 7", "rows": 8, "columns": 12, "wells": 3, "images": 5, "first": "A/1/0"}
    assert told["name"] == "Field 3" and len(told["levels"]) == 1
    assert cli.main(["info", str(tmp_path / "out/screen.ome.zarr")]) == 0
    assert "plate 'Screen 7' of 8 x 12, 3 wells, 5 images, the first of which is" in capsys.readouterr().out
    assert cli.main(["info", str(tmp_path / "screen.ome.tif")]) == 0
    assert "image 3 'Field 3' of well A/1: " in capsys.readouterr().out


def test_the_preview_of_a_plate_is_a_contact_sheet(tmp_path: Path) -> None:
    write_plate(tmp_path / "screen.ome.tif", WELLS, attributes='Rows="8" Columns="12"')
    assert convert(tmp_path / "screen.ome.tif", tmp_path / "out", "--preview", "1", "--initial-downsample", "1") == 0
    sheet = imagecodecs.png_decode((tmp_path / "out/screen.ome.zarr.png").read_bytes())
    side = 1024 // 12 - GAP
    assert sheet.shape == (8 * (side + GAP) + GAP, 12 * (side + GAP) + GAP, 3)
    spread = {}
    for row, column in np.ndindex(8, 12):
        top, left = (GAP + index * (side + GAP) for index in (row, column))
        spread[row, column] = np.ptp(sheet[top : top + side, left : left + side])
    assert {place for place, values in spread.items() if values > 0} == {(0, 0), (0, 1), (2, 11)}
