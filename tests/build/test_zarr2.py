"""ZARR_FORMAT=2: read by zarr-python, tensorstore's zarr driver and ome-zarr-models' 0.4; the same chunk bytes as in Zarr v3."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from datasets import IMAGES, change, copied, made, pixels
from ome_zarr_models.v04.image import Image

from omezarr_proc import cli
from omezarr_proc.publish import by_rename as publish
from omezarr_proc.publish.hidden import MAGIC, aside_path, record_path, staging_path
from omezarr_proc.publish.record import Record
from omezarr_proc.store import arrays as store
from omezarr_proc.store import remove
from omezarr_proc.store.folder import Folder

DTYPES = {"uint8": "|u1", "int8": "|i1", "uint16": "<u2", "float32": "<f4"}


@pytest.mark.parametrize("name", IMAGES)
def test_zarr_tensorstore_and_the_models_read_it(name: str) -> None:
    dataset = made(name, 2)
    group = zarr.open_group(dataset, mode="r", zarr_format=2)
    model = Image.from_zarr(group)
    paths = [entry.path for entry in model.attributes.multiscales[0].datasets]
    reference = made(name, 3)
    for path in paths:
        spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{dataset / path}/"}}
        found = np.asarray(ts.open(spec).result().read().result())
        np.testing.assert_array_equal(found, zarr.open_array(reference / path, mode="r")[...])
        np.testing.assert_array_equal(found, group[path][...])
    order = [IMAGES[name][2].replace("S", "C").find(axis) for axis in "TCZYX"]
    full = pixels(name).transpose([axis for axis in order if axis >= 0])
    boxes = np.asarray(ts.downsample(ts.array(full), [1] * (full.ndim - 2) + [2, 2], "mean").read().result())
    if np.dtype(full.dtype).kind != "f":
        np.testing.assert_array_equal(group["0"][...], boxes.reshape(group["0"].shape))


@pytest.mark.parametrize("name", IMAGES)
def test_metadata_is_pure_zarr_v2(name: str) -> None:
    dataset = made(name, 2)
    assert not list(dataset.rglob("zarr.json"))
    assert not list(dataset.rglob("c"))
    assert not list(dataset.rglob("*.partial"))
    assert json.loads((dataset / ".zgroup").read_text()) == {"zarr_format": 2}
    attributes = json.loads((dataset / ".zattrs").read_text())
    assert attributes.keys() == {"multiscales", "omero", "omezarr_proc"}
    assert [entry["version"] for entry in attributes["multiscales"]] == ["0.4"]
    array = json.loads((dataset / "0" / ".zarray").read_text())
    assert array["compressor"] == {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0}
    assert (array["dimension_separator"], array["order"], array["filters"]) == ("/", "C", None)
    assert array["dtype"] == DTYPES[IMAGES[name][1]]
    assert array["fill_value"] == 0


@pytest.mark.parametrize("name", IMAGES)
def test_chunks_are_those_of_zarr_v3(name: str) -> None:
    v2, v3 = made(name, 2), made(name, 3)

    def chunks(level: Path) -> dict[str, bytes]:
        return {str(path.relative_to(level)): path.read_bytes() for path in level.rglob("*") if path.name.isdigit() and path.is_file()}

    for level in sorted(path.name for path in v3.iterdir() if path.name.isdigit()):
        assert chunks(v2 / level) == chunks(v3 / level / "c") != {}


def test_the_metadata_are_those_of_zarr_v3() -> None:
    v2 = json.loads((made("stack", 2) / ".zattrs").read_text())
    v3 = json.loads((made("stack", 3) / "zarr.json").read_text())["attributes"]
    assert {key: v2[key] for key in ("multiscales", "omero")} == {key: v3[key] for key in ("multiscales", "omero")}
    assert v2["omezarr_proc"]["key"] != v3["omezarr_proc"]["key"]


def test_the_format_is_part_of_the_key_and_a_finished_dataset_is_left_alone(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(100 * 100, dtype="uint16").reshape(100, 100))
    dataset = tmp_path / "a.ome.zarr"
    run = [str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet"]
    assert cli.main([*run, "--zarr-format", "2"]) == 0
    inode = dataset.stat().st_ino
    assert cli.main([*run, "--zarr-format", "2", "--existing", "fail"]) == 0
    assert dataset.stat().st_ino == inode
    assert cli.main([*run, "--existing", "fail"]) == 73
    assert cli.main(run) == 0
    assert (dataset / "zarr.json").exists()
    assert not (dataset / ".zattrs").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.tif"]


def test_half_a_root_is_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception):
        pass

    rename = Path.rename

    def killed(path: Path, to: Path) -> Path:
        if to.name == ".zattrs":
            raise KilledError
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KilledError):
        store.write_root(Folder(str(tmp_path)), {"multiscales": []}, 2)
    assert (tmp_path / ".zgroup").exists()
    assert publish.stored_key(tmp_path) is None
    with pytest.raises(Exception, match="multiscales"):
        Image.from_zarr(zarr.open_group(tmp_path, mode="r"))


def test_an_interrupted_replacement_by_a_v2_dataset_is_completed(tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    shutil.copytree(made("rgb", 2), staging_path(target))
    shutil.copytree(made("rgb", 3), aside_path(target))
    record_path(target).write_bytes(MAGIC)
    publish.recover(tmp_path)
    assert publish.stored_key(target) == publish.stored_key(made("rgb", 2))


def test_a_half_written_v2_root_does_not_replace_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    shutil.copytree(made("rgb", 2), staging_path(target))
    (staging_path(target) / ".zattrs").write_text("{}")
    shutil.copytree(made("rgb", 3), aside_path(target))
    record_path(target).write_bytes(MAGIC)
    publish.recover(tmp_path)
    assert publish.stored_key(target) == publish.stored_key(made("rgb", 3))


def test_a_resumed_conversion_writes_all_metadata_anew(tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    Record.open(target, "key").close()
    staging = staging_path(target)
    gone = [".zgroup", ".zattrs", ".zattrs.1f.partial", "0/.zarray", "0/.zattrs", "zarr.json", "zarr.1f.partial", "0/zarr.2e.partial"]
    for name in (*gone, "0/0/0/0"):
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).write_bytes(b"{")
    Record.open(target, "key").close()
    assert [str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()] == ["0/0/0/0"]


def test_removing_begins_with_the_attributes(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "rgb", 2)
    assert not remove.remove_tree(dataset, deadline=1e-9) or not dataset.exists()
    change(dataset / ".zattrs", lambda found: None)
    order: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remove, "_unlink", lambda path: order.append(Path(path).name))
        remove.remove_tree(dataset)
    assert set(order[:2]) == {"zarr.json", ".zattrs"}
