"""The certificate beside a dataset: its digests as sha256sum, and the script of its page with numpy, zarr and tifffile, compute them."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from certificates import PAGE, digest_of
from datasets import IMAGES, pixels
from objectserver import object_server, store  # noqa: F401  # fixtures
from plates import write_plate

from omezarr_proc import cli
from omezarr_proc.build import certified as existing
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import ChangedInputError, InputError
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.places import objects_at

CRATE = "ro-crate-metadata.json"
SMALL = ("--tile-size", "64", "--min-dimension", "64", "--quiet")


def source(folder: Path, name: str = "stack") -> Path:
    folder.mkdir(exist_ok=True)
    _, _, axes, options = IMAGES[name]
    tifffile.imwrite(folder / "a.ome.tif", pixels(name), ome=True, metadata={"axes": axes}, **options)
    return folder / "a.ome.tif"


def certified(tiff: Path, out: Path, *flags: str) -> dict[str, Any]:
    assert cli.main([str(tiff), "--output-dir", str(out), "--certificate", *SMALL, *flags]) == 0
    return read(out / "a.ome.zarr.certificate.json")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(("name", "flags"), [
    ("rgb", ("--tile-size", "512", "--sharding", "on")),
    ("time", ("--z-chunk", "2", "--initial-downsample", "1", "--zarr-format", "2", "--verify")),
])  # fmt: skip
def test_anybody_computes_the_same(name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    tiff, out = source(tmp_path / "in", name), tmp_path / "out"
    found = certified(tiff, out, *flags)
    (image,), (file,) = found["images"], found["sources"]
    in_order = np.moveaxis(pixels(name), -1, 0) if name == "rgb" else pixels(name).swapaxes(1, 2)
    assert image["source"]["sha256"] == digest_of(in_order)
    assert image["source"]["planes"][1] == digest_of_plane(in_order.reshape(-1, *in_order.shape[-2:])[1])
    assert (image["source"]["sha256"] == image["levels"][0]["sha256"]) == ("--initial-downsample" in flags)
    assert found["verified"] == ("--verify" in flags)
    assert file == {"name": "a.ome.tif", "bytes": tiff.stat().st_size, "sha256": hashlib.sha256(tiff.read_bytes()).hexdigest()}
    code = subprocess.run([sys.executable, "-c", PAGE, out / "a.ome.zarr"], capture_output=True, text=True, check=True)
    assert code.stdout.split() == [word for level in image["levels"] for word in (level["path"], "ok")]
    assert str(tmp_path) not in json.dumps(found)


def digest_of_plane(plane: np.ndarray) -> str:
    blocks = [plane[y : y + 256, x : x + 256].tobytes() for y in range(0, plane.shape[0], 256) for x in range(0, plane.shape[1], 256)]
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


def test_sha256sum_checks_all_objects(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = certified(source(tmp_path), out)
    check = ["sha256sum", "--check", "--strict", "a.ome.zarr.sha256"]
    lines = subprocess.run(check, cwd=out, capture_output=True, text=True, check=True).stdout.splitlines()
    inside = {str(path.relative_to(out)) for path in (out / "a.ome.zarr").rglob("*") if path.is_file()}
    assert {line.removesuffix(": OK") for line in lines} == inside - {f"a.ome.zarr/{CRATE}"}
    listed = (out / "a.ome.zarr.sha256").read_bytes()
    assert found["objects"]["sha256"] == hashlib.sha256(listed).hexdigest()
    assert found["objects"]["count"] == len(lines)
    assert found["objects"]["bytes"] == sum((out / path).stat().st_size for path in inside) - (out / "a.ome.zarr" / CRATE).stat().st_size
    of_crate = {entity["@id"]: entity for entity in read(out / "a.ome.zarr" / CRATE)["@graph"]}
    assert of_crate["#source-0"]["sha256"] == found["sources"][0]["sha256"]
    assert [part["@id"] for part in of_crate["./"]["hasPart"]] == [f"{level['path']}/" for level in found["images"][0]["levels"]]
    assert {part["@id"] for part in of_crate["#conversion"]["object"]} <= set(of_crate)
    chunk = out / "a.ome.zarr/0/c/0/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    assert subprocess.run(check, cwd=out, capture_output=True, check=False).returncode == 1


def test_made_for_a_finished_dataset_kept_in_step_and_no_part_of_the_key(tmp_path: Path) -> None:
    tiff = source(tmp_path)
    run = [str(tiff), "--output-dir", str(tmp_path), *SMALL]
    place = tmp_path / "a.ome.zarr.certificate.json"
    assert cli.main(run) == 0
    assert not place.exists()
    assert cli.main([*run, "--ozx"]) == 0
    inode = (tmp_path / "a.ome.zarr").stat().st_ino
    first = certified(tiff, tmp_path)
    assert (tmp_path / "a.ome.zarr").stat().st_ino == inode
    written = place.stat().st_mtime_ns
    certified(tiff, tmp_path)
    assert place.stat().st_mtime_ns == written
    assert CRATE in zipfile.ZipFile(tmp_path / "a.ozx").namelist()
    assert first["verified"]  # one that was there already is compared with its input
    assert cli.main([*run, "--initial-downsample", "1"]) == 0  # without asking: else it would be of another dataset
    second = read(place)
    assert first["images"][0]["source"] == second["images"][0]["source"]
    digests = [[level["sha256"] for level in found["images"][0]["levels"]] for found in (first, second)]
    assert digests[0] == digests[1][1:]
    assert second["key"] != first["key"]


@pytest.mark.parametrize("asked", ["--certificate", "--verify"])
def test_a_dataset_that_is_there_and_is_not_what_the_input_gives_is_an_error(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [str(source(tmp_path)), "--output-dir", str(tmp_path), *SMALL]
    assert cli.main(run) == 0
    shutil.copy(tmp_path / "a.ome.zarr/0/c/0/1/0/0", tmp_path / "a.ome.zarr/0/c/0/0/0/0")
    assert cli.main([*run, asked]) == 73
    assert "a.ome.zarr: is there already, and is not what the input gives: level 0: " in capsys.readouterr().err
    assert cli.main([*run, "--certificate", "--existing", "skip", "--initial-downsample", "1"]) == 0
    assert "it is not compared, and gets no certificate" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("a.ome.zarr*")) == ["a.ome.zarr"]
    assert cli.main([*run, asked, "--existing", "force"]) == 0


def test_a_level_0_of_full_resolution_with_other_pixels_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged while it was made, and not compared."""
    first, other = (f"0/c/0/{z}/0/0" for z in (0, 1))
    monkeypatch.setattr("omezarr_proc.check.verdict.refuse_wrong", lambda place: shutil.copy(place / other, place / first))
    flags = ("--certificate", "--initial-downsample", "1", *SMALL)
    assert cli.main([str(source(tmp_path)), "--output-dir", str(tmp_path), *flags]) == 73
    assert "a.ome.zarr: level 0 has not the pixels of the input: no certificate is written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("a.ome.zarr*")) == ["a.ome.zarr"]


def test_an_object_that_is_not_as_it_was_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of levels whose pixels were hashed before they were encoded, and of which level 0 is smaller than the input."""
    run = [str(source(tmp_path)), "--output-dir", str(tmp_path), "--certificate", "--quiet", "--existing", "force"]
    chunk = "0/c/0/1/0/0"
    monkeypatch.setattr("omezarr_proc.check.verdict.refuse_wrong", lambda place: (place / chunk).write_bytes(b"?"))
    assert cli.main(run) == 73
    assert f"a.ome.zarr: {chunk} is not as it was made: no certificate is written" in capsys.readouterr().err
    monkeypatch.setattr("omezarr_proc.check.verdict.refuse_wrong", lambda place: (place / chunk).unlink())
    assert cli.main(run) == 73
    assert "a.ome.zarr: objects that were made are missing: no certificate is written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("a.ome.zarr*")) == ["a.ome.zarr"]
    monkeypatch.undo()
    assert cli.main(run) == 0


@pytest.mark.slow
def test_of_a_crop_it_is_that_of_the_part(tmp_path: Path) -> None:
    found = certified(source(tmp_path), tmp_path, "--region", "10,20,70,90", "--channels", "1", "--z", "1-2", "--initial-downsample", "1")
    (image,) = found["images"]
    assert image["source"]["origin"] == {"t": 0, "z": 1, "y": 20, "x": 10}
    assert image["source"]["sha256"] == image["levels"][0]["sha256"] == digest_of(pixels("stack")[1:3, 1:, 20:110, 10:80].swapaxes(0, 1))


@pytest.mark.slow
def test_of_strips_higher_than_blocks(tmp_path: Path) -> None:
    planes = np.random.default_rng(3).integers(0, 1000, (3, 900, 700), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", compression="lzw", rowsperstrip=700)
    (image,) = certified(tmp_path / "a.tif", tmp_path)["images"]
    assert image["source"]["sha256"] == digest_of(planes)


def test_beside_what_lies_in_the_folder_that_is_the_dataset(tmp_path: Path) -> None:
    tiff = source(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / CRATE).write_text('{"@graph": [{"@id": "./"}]}')
    assert cli.main([str(tiff), "--output-dir", str(out), "--output-layout", "root", "--certificate", *SMALL]) == 0
    lines = subprocess.run(["sha256sum", "-c", "ome.zarr.sha256"], cwd=out, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == read(out / "ome.zarr.certificate.json")["objects"]["count"]
    assert {line.split("/")[0].removesuffix(": OK") for line in lines} == {"zarr.json", "OME", "0", "1"}
    assert (out / CRATE).read_text() == '{"@graph": [{"@id": "./"}]}'


def test_a_plate_has_one_with_each_of_its_fields(tmp_path: Path) -> None:
    write_plate(tmp_path / "a.ome.tif", [(2, 11, 2), (0, 1, 1)])
    found = certified(tmp_path / "a.ome.tif", tmp_path, "--initial-downsample", "1")
    assert [image["path"] for image in found["images"]] == ["A/2/0", "C/12/0", "C/12/1"]
    assert len(found["sources"]) == 1
    for image in found["images"]:
        assert image["source"]["sha256"] == image["levels"][0]["sha256"]
    subprocess.run(["sha256sum", "-c", "--quiet", "a.ome.zarr.sha256"], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_of_an_input_that_has_changed_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiff = source(tmp_path)
    monkeypatch.setattr("omezarr_proc.build.certificate.changed", lambda states: ChangedInputError("was written to", source=tiff))
    assert cli.main([str(tiff), "--output-dir", str(tmp_path / "out"), "--certificate", *SMALL]) != 0
    assert "a.ome.tif: was written to; no certificate is written" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ome.zarr"]


def test_in_an_object_store(store: Any, tmp_path: Path) -> None:  # noqa: F811  # the fixture
    tiff = source(tmp_path)
    assert cli.main([str(tiff), "--output-dir", store.address, "--certificate", *SMALL]) == 0
    objects: Objects = objects_at(Address(store.address))
    listed = objects.get("a.ome.zarr.sha256").decode().splitlines()
    keys = {key for key, _ in objects.sizes("a.ome.zarr/") if not key.endswith(CRATE)}
    assert {line.partition("  ")[2] for line in listed} == keys
    for line in listed:
        digest, _, key = line.partition("  ")
        assert hashlib.sha256(objects.get(key)).hexdigest() == digest
    local = certified(tiff, tmp_path)
    assert json.loads(objects.get("a.ome.zarr.certificate.json"))["images"] == local["images"]


def test_one_that_cannot_be_written_fails_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiff = source(tmp_path)
    (tmp_path / "a.ome.zarr.certificate.json").mkdir()
    assert cli.main([str(tiff), "--output-dir", str(tmp_path), "--certificate", *SMALL]) == 73
    assert "a.ome.zarr.certificate.json: cannot write the certificate" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "a.ome.zarr.certificate.json")
    certified(tiff, tmp_path)


def test_where_storage_fails_to_say_that_there_is_none_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise InputError("cannot be read")

    monkeypatch.setattr(existing, "read_json", fails)
    target = tmp_path / "a.ome.zarr"
    assert existing.certified_key(target) is None
    existing.certificate_path(target).write_text("{}")
    assert existing.certified_key(target) == ""
