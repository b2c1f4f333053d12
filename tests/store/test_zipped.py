"""A dataset as one file: what others read in it, what the verbs say of it, and that it is kept in step with the dataset."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from conversion import convert, levels, random_pixels
from loaded import load_settings
from plates import field_pixels, write_plate

from omezarr_proc import cli
from omezarr_proc.app.view import one_files
from omezarr_proc.config.reading import settings_of
from omezarr_proc.model.errors import InputError, OutputError, SettingsError
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.zipped import Zipped

SMALL = ("--initial-downsample", "1", "--tile-size", "64", "--min-dimension", "32")


def made(folder: Path, *flags: str) -> Path:
    if not (folder / "a.ome.tif").exists():
        pixels = random_pixels((3, 2, 70, 90), "uint16")
        tifffile.imwrite(folder / "a.ome.tif", pixels, ome=True, metadata={"axes": "CZYX"}, photometric="minisblack")
    assert convert(folder / "a.ome.tif", folder, *SMALL, *flags) == 0
    return folder / "a.ozx"


@pytest.mark.parametrize("sharding", ["on", pytest.param("off", marks=pytest.mark.slow)])
def test_others_and_all_verbs_read_it(tmp_path: Path, sharding: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path, "--ozx", "--sharding", sharding)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert archive.testzip() is None and {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.comment)["ome"]["version"] == "0.5"
    documents = [name for name in names if name.endswith("zarr.json")]
    assert names[: len(documents)] == documents and documents[0] == "zarr.json" and len(documents) > 3
    dataset = tmp_path / "a.ome.zarr"
    assert sorted(names) == sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file())
    stored = levels(dataset)
    with zarr.storage.ZipStore(file, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert all(np.array_equal(group[str(number)][:], level) for number, level in enumerate(stored))

    shutil.rmtree(dataset)
    for words in (["validate", "--deep"], ["verify"], ["preview"], ["info"]):
        assert cli.main([*words, str(file)]) == 0
    assert cli.main(["restore", str(file), str(tmp_path / "b.ome.tif")]) == 0
    assert np.array_equal(tifffile.imread(tmp_path / "b.ome.tif"), tifffile.imread(tmp_path / "a.ome.tif"))
    assert "identical, " in capsys.readouterr().out
    source = one_files([str(file)])["a.ozx"]
    assert source.get("zarr.json").startswith(b"{")
    with pytest.raises(FileNotFoundError):
        source.get("0/c/9/9")


def test_ngff_zarr_reads_it(tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    file = made(tmp_path, "--ozx")
    images = ngff_zarr.from_ngff_zarr(str(file)).images
    assert np.array_equal(np.asarray(images[0].data), levels(tmp_path / "a.ome.zarr")[0])


@pytest.mark.slow
def test_it_is_kept_in_step(tmp_path: Path) -> None:
    file = made(tmp_path, "--ozx")
    first = file.read_bytes()
    made(tmp_path, "--ozx", "--existing", "force")
    assert file.read_bytes() == first
    made(tmp_path, "--compression", "lz4")  # not asked for, but a file that is of another dataset misleads
    assert file.read_bytes() != first
    assert cli.main(["verify", str(file)]) == 0
    written = file.stat().st_mtime_ns
    made(tmp_path, "--ozx", "--compression", "lz4")
    assert file.stat().st_mtime_ns == written

    file.write_text("mine")
    made(tmp_path, "--compression", "lz4")
    assert convert(tmp_path / "a.ome.tif", tmp_path, *SMALL, "--ozx", "--compression", "lz4") == 73
    assert file.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"a.ome.tif", "a.ome.zarr", "a.ozx"}


def test_a_plate_is_one_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plate(tmp_path / "a.ome.tif", [(0, 0, 1), (1, 2, 1)])
    assert convert(tmp_path / "a.ome.tif", tmp_path, *SMALL, "--ozx") == 0
    file = tmp_path / "a.ozx"
    assert cli.main(["validate", str(file)]) == 0
    assert cli.main(["restore", str(file), str(tmp_path / "b.ome.tif")]) == 1
    assert f"name one of its images, as {file}/A/1/0" in capsys.readouterr().err
    assert cli.main(["restore", f"{file}/A/1/0", str(tmp_path / "b.ome.tif")]) == 0
    assert np.array_equal(tifffile.imread(tmp_path / "b.ome.tif"), field_pixels(0))


def test_damage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path, "--ozx")
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        place = archive.getinfo("0/c/1/1/1/1").header_offset + 200
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert cli.main(["validate", "--deep", str(file)]) == 1  # the pixels are noise, which Blosc stores without a checksum
    assert "0/c/1/1/1/1" in capsys.readouterr().out
    for data in (whole[: len(whole) // 2], b"", b"PK\3\4"):
        file.write_bytes(data)
        for verb in ("validate", "info"):
            assert cli.main([verb, str(file)]) == 1
            (line,) = capsys.readouterr().out.splitlines()
            assert "Is no whole zip file" in line
        with pytest.raises(InputError, match="Is no whole zip file"):
            one_files([str(file)])


def test_what_another_program_has_compressed_is_read_and_nothing_is_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.ozx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("A/1/x", bytes(1000) + b"end")
    objects = objects_at(tmp_path / "a.ozx/A")
    assert objects == Zipped(str(tmp_path / "a.ozx"), "A/")
    assert objects.get("1/x")[-3:] == b"end" and objects.part("1/x", -3, 2) == (b"en", 1003) and objects.names() == (["1"], [])
    assert [*objects.sizes()] == [("1/x", 1003)] and objects.exists("1/x") and not objects.exists("x")
    with pytest.raises(OutputError, match="is one file"):
        objects.put("x", b"")


@pytest.mark.parametrize("other", [{"zarr_format": 2}, {"output_layout": "root"}])
def test_it_is_of_folders_and_zarr_v3(other: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="OZX=1 needs ZARR_FORMAT=3"):
        settings_of({"ozx": True, **other}, output_dir=tmp_path)
    with pytest.raises(SettingsError, match="OZX=1 needs"):
        load_settings({"INPUT_DIR": "a", "OUTPUT_DIR": "s3://bucket/b", "OZX": "1"}, {})
