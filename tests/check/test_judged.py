"""What a judge missed once, or called wrong though it was right; each by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from datasets import change, copied, made
from ome_zarr_models.v05.image import Image
from zarr.core.metadata.v2 import ArrayV2Metadata
from zarr.core.metadata.v3 import ArrayV3Metadata

from omezarr_proc import cli
from omezarr_proc.check.arrays import is_fill_value
from omezarr_proc.check.verdict import Verdict, judge
from omezarr_proc.store.codec import Codec


def rules(verdict: Verdict) -> list[str]:
    return [finding.rule for finding in verdict.findings]


def taken_by_zarr(value: Any, dtype: str, zarr_format: int) -> bool:
    """Whether zarr opens an array with this fill value."""
    if zarr_format == 2:
        found = {"dtype": np.dtype(dtype).str, "chunks": [1], "order": "C", "filters": None, "compressor": None, "dimension_separator": "/"}
        ArrayV2Metadata.from_dict(found | {"zarr_format": 2, "shape": [1], "fill_value": value, "attributes": {}})
        return True
    grid = {"name": "regular", "configuration": {"chunk_shape": [1]}}
    keys = {"name": "default", "configuration": {"separator": "/"}}
    found = {"data_type": dtype, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "chunk_grid": grid}
    rest = {"zarr_format": 3, "node_type": "array", "shape": [1], "attributes": {}}
    ArrayV3Metadata.from_dict(found | rest | {"chunk_key_encoding": keys, "fill_value": value})
    return True


@pytest.mark.parametrize(
    ("zarr_format", "dtype", "right", "wrong"),
    [
        (3, "uint16", [0, 65535], ["NaN", None, -1, 65536, 0.5, 0.0, True, [], {}]),
        (2, "uint16", [0, 65535, None, 0.0], ["NaN", -1, 65536, 0.5, True, []]),
        (3, "float32", [0, 0.5, "NaN", "Infinity", "-Infinity", "0x7fc00000"], [None, "nan", True, [0], "0x7fc0000"]),
        (2, "float32", [0, 0.5, "NaN", None], ["nan", False]),
        (3, "bool", [True], [0, None]),
    ],
)
def test_fill_values(zarr_format: int, dtype: str, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not is_fill_value(value, dtype, zarr_format)] == []
    assert [value for value in wrong if is_fill_value(value, dtype, zarr_format)] == []
    assert [value for value in right if not taken_by_zarr(value, dtype, zarr_format)] == []


def test_what_follows_a_wrong_dataset_has_its_verdict_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    change(dataset / "1/zarr.json", lambda found: found.update(fill_value="NaN"))
    assert cli.main(["validate", "--deep", str(dataset), str(made("rgb"))]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "error: 1: fill_value is 'NaN' for uint16" in first
    assert last.startswith(f"{made('rgb')}: ok, ")


def test_a_surprise_is_the_verdict_of_its_dataset_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("omezarr_proc.check.verdict.check_strays", lambda dataset: 1 // ("a.ome" not in str(dataset.path)))
    assert cli.main(["validate", str(made("rgb"))]) == 1
    assert capsys.readouterr().out.endswith("a.ome.zarr: cannot be judged: ZeroDivisionError: integer division or modulo by zero\n")


def test_12_bits_shown_as_16_are_black(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 4096, (70, 70), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--quiet"]) == 0
    dataset = tmp_path / "a.ome.zarr"

    def show(**window: float) -> None:
        def edit(found: dict[str, Any]) -> None:
            for form in (found["attributes"], found["attributes"]["ome"]):
                form["omero"]["channels"][0]["window"].update(window)

        change(dataset / "zarr.json", edit)

    assert judge(dataset, deep=True).findings == ()
    show(start=0, end=65535)
    assert [rule for rule in rules(judge(dataset)) if "black or white" in rule] != []
    assert len(judge(dataset, deep=True).findings) == 1
    show(min=0, max=65535)
    assert judge(dataset).valid
    assert len([rule for rule in rules(judge(dataset, deep=True)) if "black or white" in rule]) == 1
    show(start=5000, end=5100)
    assert len([rule for rule in rules(judge(dataset, deep=True)) if "black or white" in rule]) == 1


def test_pixels_that_are_nearly_all_alike_are_shown_as_they_were_published(tmp_path: Path) -> None:
    pixels = np.full((70, 70), 5, "float32")
    pixels[3, 4] = 5.01
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--quiet"]) == 0
    assert judge(tmp_path / "a.ome.zarr", deep=True).findings == ()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_all_channels_inactive_is_a_black_picture(tmp_path: Path, zarr_format: int) -> None:
    dataset = copied(tmp_path, "stack", zarr_format)

    def edit(found: dict[str, Any]) -> None:
        for form in [found] if zarr_format == 2 else [found["attributes"], found["attributes"]["ome"]]:
            for channel in form["omero"]["channels"]:
                channel["active"] = False

    change(dataset / (".zattrs" if zarr_format == 2 else "zarr.json"), edit)
    assert rules(judge(dataset)) == ["viewers show active channels, so a black picture"]


@pytest.mark.parametrize(
    ("stray", "zarr_format"),
    [("0/c/0/0/9/0", 3), ("0/c/0/0/00/0", 3), ("0/c/0/0/0/0.partial", 3), ("0/5", 3), ("0/0/0/9/0", 2), ("0/c/0", 2), ("1/zarr.json", 2)],
)
def test_stray_chunks(tmp_path: Path, stray: str, zarr_format: int) -> None:
    dataset = copied(tmp_path, "stack", zarr_format)
    (dataset / stray).parent.mkdir(parents=True, exist_ok=True)
    (dataset / stray).write_bytes(b"a")
    (finding,) = judge(dataset).findings
    assert (finding.where, finding.problem) == (stray, "is no chunk of its array")
    (dataset / f"{stray}~").write_bytes(b"a")
    assert [f.problem for f in judge(dataset).findings] == ["is no chunk of its array, and 1 more"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_level_that_multiscales_leaves_out(tmp_path: Path, zarr_format: int) -> None:
    dataset = copied(tmp_path, "stack", zarr_format)

    def edit(found: dict[str, Any]) -> None:
        for form in [found] if zarr_format == 2 else [found["attributes"], found["attributes"]["ome"]]:
            form["multiscales"][0]["datasets"].pop()

    change(dataset / (".zattrs" if zarr_format == 2 else "zarr.json"), edit)
    assert [(f.where, f.problem) for f in judge(dataset).findings] == [("1", "is an array that multiscales does not list")]


@pytest.mark.parametrize("unit", ["micron", "µm", "second", "pixel"])
def test_odd_units(tmp_path: Path, unit: str) -> None:
    dataset = copied(tmp_path, "stack")

    def edit(found: dict[str, Any]) -> None:
        for form in (found["attributes"], found["attributes"]["ome"]):
            form["multiscales"][0]["axes"][-1]["unit"] = unit

    change(dataset / "zarr.json", edit)
    (finding,) = judge(dataset).findings
    assert finding.where == "ome.multiscales[0].axes[3].unit"
    assert repr(unit) in finding.problem


def test_a_chunk_of_no_pixels_is_seen_without_deep(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "stack")
    codec = Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=2)
    (dataset / "0/c/0/0/0/0").write_bytes(codec.encode(np.zeros(0, "uint16")))
    assert rules(judge(dataset)) == ["every chunk is whole"]


def test_shards_need_not_be_square(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "stack")
    for path, shard in (("0", (1, 1, 128, 64)), ("1", (1, 1, 64, 64))):
        pixels = zarr.open_array(made("stack") / path, mode="r")[...]
        names = ("c", "z", "y", "x")
        zarr.create_array(dataset / path, data=pixels, chunks=(1, 1, 32, 32), shards=shard, dimension_names=names, overwrite=True)
    assert judge(dataset, deep=True).findings == ()
    change(dataset / "0/zarr.json", lambda found: found["codecs"][0]["configuration"].update(chunk_shape=[1, 1, 48, 32]))
    assert any("shards of (1, 1, 128, 64)" in finding.problem for finding in judge(dataset).findings)


@pytest.mark.parametrize(
    ("version", "attributes"),
    [
        ("0.1", {"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]}),
        ("0.1", {"multiscales": [{"datasets": [{"path": "0"}]}]}),
        ("0.2", {"multiscales": [{"version": "0.2", "datasets": [{"path": "0"}]}]}),
        ("0.3", {"multiscales": [{"version": "0.3", "axes": ["y", "x"], "datasets": [{"path": "0"}]}]}),
        ("0.6.dev4", {"ome": {"version": "0.6.dev4", "multiscales": [{"coordinateSystems": [], "datasets": [{"path": "0"}]}]}}),
    ],
)
def test_other_versions_are_one_line(tmp_path: Path, version: str, attributes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if "ome" in attributes:
        (tmp_path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
    else:
        (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
        (tmp_path / ".zattrs").write_text(json.dumps(attributes))
    assert cli.main(["validate", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert f"is of NGFF {version}, and 0.4, 0.5 and 0.6 are judged" in line


def test_a_reader_that_goes_does_not_make_a_dataset_right(tmp_path: Path) -> None:
    """`validate wrong right | head -1`, and one that reads nothing at all."""
    dataset = copied(tmp_path, "stack")
    (dataset / "0/c/0/0/0/0").unlink()
    for names in ([dataset, made("rgb")], [made("rgb"), dataset]):
        command = [sys.executable, "-m", "omezarr_proc", "validate", *map(str, names)]
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")


def test_what_both_forms_have_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")

    def edit(found: dict[str, Any]) -> None:
        for form in (found["attributes"], found["attributes"]["ome"]):
            form["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"][2] = 1.31

    change(dataset / "zarr.json", edit)
    assert cli.main(["validate", str(dataset)]) == 1
    error, last = capsys.readouterr().out.splitlines()
    assert "ome.multiscales[0].datasets[1]: scale of y is 1.31" in error
    assert last.endswith("WRONG, 1 error, 2 levels, 30 chunks")


def label(dataset: Path, dtype: str = "uint8", **image_label: Any) -> None:
    """A label image below `dataset`, by zarr."""
    group = zarr.open_group(dataset / "labels", mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    cells = group.create_group("cells")
    for path in ("0", "1"):
        shape = zarr.open_array(dataset / path, mode="r").shape
        cells.create_array(path, data=np.zeros(shape, dtype), chunks=(1, 1, 64, 64), dimension_names=("c", "z", "y", "x"))
    of_image = json.loads((dataset / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    multiscale = {**of_image, "type": "nearest"}
    own = {"colors": [{"label-value": 1, "rgba": [0, 128, 0, 128]}]} | image_label
    cells.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": own}


def test_labels_are_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    label(dataset)
    assert cli.main(["validate", "--deep", str(dataset)]) == 0
    image, *_, last = capsys.readouterr().out.splitlines()
    assert image == f"{dataset}: ok, 2 levels, 30 chunks"
    assert last == f"{dataset}/labels/cells: ok, 2 levels, 30 chunks"
    label(dataset, "float32", colors=[{"label-value": 1, "rgba": [0, 0, 256]}, {"label-value": 1}])
    assert cli.main(["validate", str(dataset)]) == 1
    told = capsys.readouterr().out
    assert "labels/cells: error: 0: is float32" in told
    assert "error: image-label.colors[0].rgba" in told
    assert "error: image-label.colors: label-value is missing or comes twice" in told
    change(dataset / "labels/cells/zarr.json", lambda found: found["attributes"]["ome"]["multiscales"][0]["datasets"].pop())
    assert cli.main(["validate", str(dataset)]) == 1
    assert "has 1 levels, the image 2" in capsys.readouterr().out
    (dataset / "labels/cells/zarr.json").unlink()
    assert cli.main(["validate", str(dataset)]) == 1
    assert "labels/cells: has neither zarr.json nor .zgroup" in capsys.readouterr().out


def plate(root: Path, zarr_format: int = 3) -> dict[str, Any]:
    """Two wells, one with two fields of view; returns the plate's metadata."""
    wells = {"A/1": ["0", "1"], "B/2": ["0"]}
    found: dict[str, Any] = {
        "version": "0.5" if zarr_format == 3 else "0.4",
        "columns": [{"name": "1"}, {"name": "2"}],
        "rows": [{"name": "A"}, {"name": "B"}],
        "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}],
    }
    write_group(root, {"plate": found}, zarr_format)
    for well, fields in wells.items():
        write_group(root / well, {"well": {"images": [{"path": field} for field in fields]}}, zarr_format)
        for field in fields:
            (root / well / field).symlink_to(made("rgb", zarr_format))
    return found


def write_group(path: Path, attributes: dict[str, Any], zarr_format: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if zarr_format == 3:
        found = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
        (path / "zarr.json").write_text(json.dumps(found))
    else:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_of_a_plate_every_image_is_judged(tmp_path: Path, zarr_format: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = plate(tmp_path / "p.zarr", zarr_format)
    assert cli.main(["validate", str(tmp_path / "p.zarr")]) == 0
    first, *images = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'p.zarr'}: ok, 3 images"
    assert [line.partition(": ok")[0][len(f"{tmp_path}/p.zarr/") :] for line in images] == ["A/1/0", "A/1/1", "B/2/0"]
    found["wells"][1]["columnIndex"] = 0
    write_group(tmp_path / "p.zarr", {"plate": found}, zarr_format)
    assert cli.main(["validate", str(tmp_path / "p.zarr"), "--json"]) == 1
    whole, *images = json.loads(capsys.readouterr().out)["datasets"]
    assert (whole["valid"], whole["images"], len(images)) == (False, 2, 2)
    assert "rowIndex and columnIndex" in whole["findings"][0]["rule"]


PLATES: dict[str, Any] = {
    "no rows": lambda p: p.pop("rows"),
    "no columns": lambda p: p.update(columns=[]),
    "a name with a slash": lambda p: p["rows"][0].update(name="A/"),
    "a name twice": lambda p: p["rows"][0].update(name="B"),
    "another path": lambda p: p["wells"][0].update(path="A/2"),
    "a path to itself": lambda p: p["wells"][0].update(path="."),
    "no number": lambda p: p["wells"][0].update(rowIndex="0"),
    "no well": lambda p: p["wells"].append({"path": "A/2", "rowIndex": 0, "columnIndex": 1}),
}


@pytest.mark.parametrize("edit", PLATES.values(), ids=PLATES)
def test_each_defect_of_a_plate_is_found(tmp_path: Path, edit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = plate(tmp_path / "p.zarr")
    edit(found)
    write_group(tmp_path / "p.zarr", {"plate": found}, 3)
    assert cli.main(["validate", str(tmp_path / "p.zarr")]) == 1
    assert f"{tmp_path / 'p.zarr'}: WRONG, 1 error, " in capsys.readouterr().out


@pytest.mark.parametrize("series", [None, ["0", "1"], ["0", "7"], "0"])
def test_of_what_bioformats2raw_writes_every_image_is_judged(tmp_path: Path, series: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "b.zarr"
    write_group(root, {"bioformats2raw.layout": 3}, 3)
    for name in "01":
        (root / name).symlink_to(made("stack"))
    if series is not None:
        write_group(root / "OME", {"series": series}, 3)
    assert cli.main(["validate", str(root)]) == (0 if series in (None, ["0", "1"]) else 1)
    assert capsys.readouterr().out.count(": ok, 2 levels") == (0 if series == "0" else 1 if series and "7" in series else 2)


def test_the_label_and_the_plate_of_these_tests_are_right_elsewhere_too(tmp_path: Path) -> None:
    from ome_zarr_models.v05.hcs import HCS
    from ome_zarr_models.v05.image_label import ImageLabel

    dataset = copied(tmp_path, "stack")
    label(dataset)
    ImageLabel.from_zarr(zarr.open_group(dataset / "labels/cells", mode="r"))
    Image.from_zarr(zarr.open_group(dataset, mode="r"))
    plate(tmp_path / "p.zarr")
    assert HCS.from_zarr(zarr.open_group(tmp_path / "p.zarr", mode="r")).n_wells == 2
