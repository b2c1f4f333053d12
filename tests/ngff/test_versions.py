"""NGFF 0.5 and 0.6: what is written, and what `upgrade` makes of what there is. The oracle is ome-zarr-models, which knows both."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ome_zarr_models.v05
import pytest
import zarr
from conversion import convert, digest
from datasets import change, copied, made
from plates import write_plate
from zarr.errors import ZarrUserWarning

from omezarr_proc import cli
from omezarr_proc.check.verdict import judge
from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store.folder import Folder

v06 = pytest.importorskip("ome_zarr_models.v06", reason="the newest ome-zarr-models for Python 3.11 does not know NGFF 0.6")
SMALL = ("--tile-size", "64", "--min-dimension", "64")
NEWER = ("--ngff-version", "0.6")


def newer_of(name: str, target: Path) -> Path:
    """What `made` makes, in NGFF 0.6 of the same file."""
    assert convert(made(name, 3).parent / "a.ome.tif", target, *SMALL, *NEWER) == 0
    return target / "a.ome.zarr"


def upgrade(*words: object) -> int:
    return cli.main(["upgrade", *map(str, words)])


def test_what_is_written_is_what_the_models_make_of_the_older_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older, newer = made("stack", 3), newer_of("stack", tmp_path)
    group = zarr.open_group(newer, mode="r")
    model = v06.Image.from_zarr(group)
    converted = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(older, mode="r")).ome_attributes.multiscales[0].to_version("0.6")
    assert model.ome_attributes.multiscales[0].model_dump() == converted.model_dump()

    files = digest(older), digest(newer)
    assert {key for key in files[0].keys() | files[1].keys() if files[0].get(key) != files[1].get(key)} == {"zarr.json"}
    attributes = [json.loads((dataset / "zarr.json").read_text())["attributes"] for dataset in (older, newer)]
    assert attributes[0]["multiscales"] == attributes[1]["multiscales"]  # what older viewers read is as it was
    assert attributes[0]["omezarr_proc"]["key"] != attributes[1]["omezarr_proc"]["key"]
    assert cli.main(["validate", str(newer)]) == 0
    assert cli.main(["verify", str(newer), "--source", str(older.parent / "a.ome.tif")]) == 0
    assert cli.main(["info", str(newer)]) == 0
    assert "OME-Zarr 0.6 and 0.4 in Zarr v3" in (told := capsys.readouterr().out) and "scale 1 x" in told


def test_there_and_back_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    assert upgrade(dataset, *NEWER) == 0
    assert digest(dataset) == digest(newer_of("stack", tmp_path / "newer"))
    source = made("stack", 3).parent / "a.ome.tif"
    assert convert(source, tmp_path, *SMALL, "--existing", "fail", *NEWER) == 0, "it is known for what it is"
    assert convert(source, tmp_path, *SMALL, "--existing", "fail") == 73
    capsys.readouterr()
    assert upgrade(dataset, *NEWER) == upgrade(dataset, "--ngff-version", "0.5") == 0
    assert [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "NGFF 0.6, is so already",
        "NGFF 0.5, 1 document written",
    ]
    assert digest(dataset) == digest(made("stack", 3))


def test_a_plate_that_was_left_half_way_is_whole_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plate(tmp_path / "screen.ome.tif", [(0, 0, 2), (1, 2, 1)])
    for version in ("0.5", "0.6"):
        assert convert(tmp_path / "screen.ome.tif", tmp_path / version, "--ngff-version", version) == 0
    dataset, newer = tmp_path / "0.5/screen.ome.zarr", tmp_path / "0.6/screen.ome.zarr"
    first, written, put = digest(dataset), [], Folder.put

    def full(self: Folder, key: str, data: bytes, *, atomic: bool = False) -> None:
        if len(written) == 3:
            raise OutputError("no space is left", source=key)
        put(self, key, data, atomic=atomic)
        written.append(key)

    monkeypatch.setattr(Folder, "put", full)
    assert upgrade(dataset, *NEWER) == 73
    monkeypatch.undo()
    assert cli.main(["validate", str(dataset)]) == 0
    assert digest(dataset) not in (first, digest(newer))
    assert upgrade(dataset, *NEWER) == 0
    assert digest(dataset) == digest(newer)
    group = zarr.open_group(dataset, mode="r")
    assert v06.HCS.from_zarr(group).ome_attributes.plate.field_count == 2
    assert cli.main(["validate", str(dataset)]) == 0
    assert upgrade(dataset, "--ngff-version", "0.5") == 0
    assert digest(dataset) == first


def multiscale(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda dataset: change(dataset / "zarr.json", lambda found: edit(found["attributes"]["ome"]["multiscales"][0]))


def test_labels_and_what_repeats_them_go_along(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "stack")
    shutil.copytree(made("stack", 3), dataset / "labels/cells")
    label = {"version": "0.5", "image-label": {"version": "0.5"}}
    change(dataset / "labels/cells/zarr.json", lambda found: found["attributes"]["ome"].update(label))
    zarr.create_group(dataset / "labels", zarr_format=3, attributes={"ome": {"version": "0.5", "labels": ["cells"]}})
    shutil.rmtree(dataset / "OME")  # of which zarr warns
    shutil.rmtree(dataset / "labels/cells/OME")
    with pytest.warns(ZarrUserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(dataset)
    assert upgrade(dataset, *NEWER) == 0
    group = zarr.open_group(dataset, mode="r", use_consolidated=True)
    for node in (group, group["labels"], group["labels/cells"]):
        assert node.attrs["ome"]["version"] == "0.6"
    assert "coordinateSystems" in group["labels/cells"].attrs["ome"]["multiscales"][0]
    assert group["labels/cells"].attrs["ome"]["image-label"]["version"] == "0.6"


@pytest.mark.parametrize(
    ("begin", "edit", "to", "why"),
    [
        ("0.5", lambda m: m.update(coordinateTransformations=[{"type": "scale", "scale": [1, 1, 2, 2]}]), "0.6", "of all levels"),
        ("0.5", lambda m: m["datasets"][1]["coordinateTransformations"].reverse(), "0.6", "other transformations"),
        ("0.6", lambda m: m["coordinateSystems"].append({"name": "world", "axes": []}), "0.5", "further coordinate systems"),
        ("0.6", lambda m: m["datasets"][0]["coordinateTransformations"][0].update(type="affine"), "0.5", "other transformations"),
        ("0.6", lambda m: m["datasets"][0]["coordinateTransformations"][0]["output"].update(name="world"), "0.5", "all levels lead"),
    ],
)
def test_what_the_other_version_has_no_words_for_is_refused(
    tmp_path: Path, begin: str, edit: Any, to: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = copied(tmp_path, "stack", 3, "--ngff-version", begin)
    multiscale(edit)(dataset)
    before = digest(dataset)
    capsys.readouterr()
    assert upgrade(dataset, "--ngff-version", to) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert why in line and "nothing of this dataset was changed" in line
    assert digest(dataset) == before


def test_zarr_v2_and_a_dataset_in_use_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    with Lock(dataset):
        assert upgrade(dataset, *NEWER) == 75
    assert upgrade(made("stack", 2), *NEWER) == 1
    assert "is Zarr v2" in capsys.readouterr().out
    assert upgrade(tmp_path / "nothing", *NEWER) == 1


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (lambda m: m.pop("coordinateSystems"), "at least one"),
        (lambda m: m["coordinateSystems"].append(m["coordinateSystems"][0]), "its own name"),
        (lambda m: m.update(axes=m["coordinateSystems"][0]["axes"]), "0.6 has coordinateSystems"),
        (lambda m: m["datasets"][1]["coordinateTransformations"][0]["input"].update(path="0"), "whose input is {'path': '1'}"),
        (lambda m: m["datasets"][1]["coordinateTransformations"][0]["output"].update(name="b"), "into the same coordinate system"),
        (lambda m: m["datasets"][1]["coordinateTransformations"][0]["transformations"].reverse(), "a scale and a translation"),
        (lambda m: m["coordinateSystems"][0]["axes"].reverse(), "then space"),
        (lambda m: m["datasets"][1]["coordinateTransformations"][0]["transformations"][0]["scale"].pop(), "a number for each axis"),
    ],
)
def test_each_defect_of_the_newer_version_is_found(tmp_path: Path, edit: Any, rule: str) -> None:
    dataset = copied(tmp_path, "stack", 3, *NEWER)
    assert judge(dataset).findings == ()
    multiscale(edit)(dataset)
    assert any(rule in finding.rule for finding in judge(dataset).findings), judge(dataset).findings
