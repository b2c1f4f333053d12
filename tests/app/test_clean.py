# ruff: noqa: F811  # fixtures by their names
"""The verb clean: what it removes of unfinished conversions, and all that it must leave alone."""

import os
from pathlib import Path

import obstore
import pytest
from objectserver import object_server, store  # noqa: F401  # fixtures
from trees import NEW, OLD, stage, tree, write

from omezarr_proc import cli
from omezarr_proc.model.address import Address
from omezarr_proc.publish.hidden import MAGIC, aside_path, emptied_path, record_path, staging_path
from omezarr_proc.publish.history import header
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.store_lock import StoreLock


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out/deep/er").mkdir(parents=True)
    return tmp_path / "out"


def test_everything_unfinished_is_listed_and_removed_and_datasets_stay(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(out / "b.ome.zarr", OLD)
    for target in (out / "a.ome.zarr", out / "b.ome.zarr", out / "deep/er/c.ome.zarr"):
        stage(target)
    before = tree(out)
    assert cli.main(["clean", "--dry-run", str(out)]) == 0
    assert tree(out) == before
    listed = capsys.readouterr().out.splitlines()
    assert [line.partition(": would be removed, last worked on 20")[0] for line in listed] == [
        f"{out}: .a.ome.zarr.partial, .a.ome.zarr.record",
        f"{out}: .b.ome.zarr.partial, .b.ome.zarr.record",
        f"{out}/deep/er: .c.ome.zarr.partial, .c.ome.zarr.record",
    ]
    assert cli.main(["clean", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [line.partition("would be")[0] + "removed" for line in listed]
    assert tree(out) == {f"b.ome.zarr/{name}": data for name, data in OLD.items()}
    assert cli.main(["clean", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: nothing is left of unfinished conversions\n"


def test_what_a_run_works_on_is_left_alone(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = out / "a.ome.zarr"
    with Lock(target):
        stage(target)
        before = tree(out)
        for flags in ([], ["--dry-run"]):
            assert cli.main(["clean", str(out), *flags]) == 0
            assert f"{target}: another run (process {os.getpid()} " in capsys.readouterr().out
        assert tree(out) == before
    assert cli.main(["clean", str(out)]) == 0
    assert os.listdir(out) == ["deep"]


def test_what_is_not_ours_stays(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = {".a.ome.zarr.partial/data": b"mine", ".b.ome.zarr.record": b"mine", ".c.partial/data": b"mine", ".d.ome.zarr.lock": b"mine"}
    write(out, foreign)
    assert cli.main(["clean", str(out)]) == 0
    assert tree(out) == foreign
    assert capsys.readouterr().out.count("left, since it is not known to be of omezarr_proc") == 2


def test_no_link_is_followed_and_no_store_is_searched(out: Path, tmp_path: Path) -> None:
    elsewhere, store = tmp_path / "elsewhere", out / "plate.zarr"
    for folder in (elsewhere, store, out / ".hidden"):
        folder.mkdir()
        stage(folder / "a.ome.zarr")
    (out / "deep/link").symlink_to(elsewhere)
    before = tree(tmp_path)
    assert cli.main(["clean", str(out)]) == 0
    assert tree(tmp_path) == before
    stage(out / "b.ome.zarr")
    (staging_path(out / "b.ome.zarr") / "link").symlink_to(elsewhere)
    assert cli.main(["clean", str(out)]) == 0
    assert tree(tmp_path) == before


@pytest.mark.parametrize("role", [aside_path, emptied_path])
def test_an_interrupted_replacement_loses_no_dataset(out: Path, role: type[object]) -> None:
    target = out / "a.ome.zarr"
    stage(target)
    if role is aside_path:
        write(aside_path(target), OLD)
    else:
        emptied_path(target).touch()
        write(target, {"0/c/0/0/0": b"left of the old one"})
    assert cli.main(["clean", str(out)]) == 0
    assert tree(out) == {f"a.ome.zarr/{name}": data for name, data in NEW.items()}


def test_a_record_that_was_never_begun_is_removed(out: Path) -> None:
    record_path(out / "a.ome.zarr").write_bytes(MAGIC[:9])
    record_path(out / "b.ome.zarr").touch()
    assert cli.main(["clean", str(out)]) == 0
    assert os.listdir(out) == ["deep"]


def test_what_cannot_be_removed_is_1(out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stage(out / "a.ome.zarr")
    unlink = os.unlink

    def busy(path: str | Path) -> None:
        if "/c/" in str(path):
            raise OSError(16, "busy")
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", busy)
        assert cli.main(["clean", str(out)]) == 1
    assert "cannot be removed whole" in capsys.readouterr().out
    assert cli.main(["clean", str(out)]) == 0
    assert os.listdir(out) == ["deep"]


def test_no_folder_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", str(tmp_path / "absent")]) == 2
    assert "absent is not a folder" in capsys.readouterr().err


def test_in_an_object_store_what_is_unfinished_goes_and_datasets_stay(store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset that is whole, one with its record still there, one in the making, one that is OUTPUT_DIR itself, and what is not ours."""
    record, chunk = ".omezarr_proc/record/", "0/c/0/0"
    whole = {"zarr.json": OLD["zarr.json"].replace(b'"omezarr_proc"', b'"multiscales": [], "omezarr_proc"'), chunk: b"1"}
    begun = {f"{record}00000000": MAGIC, f"{record}00000001": header("key"), chunk: b"2", ".omezarr_proc/now": b""}
    others = {"notes.txt": b"mine", "labels/0": b"mine"}
    trees = {"a.ome.zarr": whole, "b.ome.zarr": whole | begun, "deep/er/c.ome.zarr": begun, "root": begun | others}
    trees["d.ome.zarr"] = {f"{record}00000000": b"somebody else's", chunk: b"3"}
    for folder, found in trees.items():
        for key, data in found.items():
            obstore.put(store.client, f"{store.prefix}/{folder}/{key}", data)
    before = store.objects()
    assert cli.main(["clean", "--dry-run", store.address]) == 0
    assert store.objects() == before
    listed = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{store.address}/").partition(":")[0] for line in listed] == [
        *("b.ome.zarr", "d.ome.zarr", "deep/er/c.ome.zarr", "root")
    ]
    assert sum("would be removed, last worked on 20" in line for line in listed) == 3
    assert cli.main(["clean", store.address]) == 0
    left = {f"{folder}/{key}" for folder in ("a.ome.zarr", "b.ome.zarr") for key in whole} | {f"root/{key}" for key in others}
    assert store.objects().keys() == left | {f"d.ome.zarr/{key}" for key in trees["d.ome.zarr"]}
    assert cli.main(["clean", f"{store.address}/deep"]) == 0
    assert "nothing is left of unfinished conversions" in capsys.readouterr().out
    with StoreLock(Address(store.address) / "deep/e.ome.zarr"):
        assert cli.main(["clean", f"{store.address}/deep"]) == 0
        assert "another run (process " in capsys.readouterr().out
    assert cli.main(["clean", "https://host/x"]) == 2
