"""Small images share their syncs: all is on disk before anything has its name, and one that fails takes no other with it."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from runs import ROOT, digest

from omezarr_proc import api, cli
from omezarr_proc.app import batch, together
from omezarr_proc.app.making import Making
from omezarr_proc.app.member import Member
from omezarr_proc.app.report import Report
from omezarr_proc.app.search import find
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.local.solos import Solos
from omezarr_proc.publish import by_rename
from omezarr_proc.publish.hidden import MAGIC
from omezarr_proc.store.sync import Disk

FLAGS = ("--tile-size", "64", "--min-dimension", "64", "--quiet")


COUNT = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Inputs, and what each becomes when it is converted by itself."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 255, (150, 130), dtype=np.uint8)
        tifffile.imwrite(folder / f"in/{number}.tif", pixels, tile=(64, 64))
        assert cli.main([str(folder / f"in/{number}.tif"), "--output-dir", str(folder / "alone"), *FLAGS]) == 0
    return folder / "in", folder / "alone"


@pytest.fixture
def inputs(made: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(made[0], tmp_path / "in")  # with their times, which count
    return tmp_path / "in"


@pytest.fixture
def alone(made: tuple[Path, Path]) -> dict[str, str]:
    return digest(made[1])


def convert(inputs: Path, out: Path, *flags: str) -> int:
    return cli.main(["--input-dir", str(inputs), "--output-dir", str(out), *FLAGS, *flags])


def convert_in_groups(inputs: Path, out: Path, most: together.Most) -> None:
    settings = Settings(input_dir=inputs, output_dir=out, tile_size=64, min_dimension=64)
    outcomes = batch.run(settings, find(inputs, out).inputs, Report(), may_fork=False, most=most)
    assert [outcome.status for outcome in outcomes] == ["converted"] * COUNT


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_a_broken_image_among_others_fails_alone(
    inputs: Path, alone: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = inputs / "1.tif"
    with tifffile.TiffFile(broken) as tiff:
        cut = tiff.pages.first.dataoffsets[-1] + 5  # which shows when it is made
    os.truncate(broken, cut)
    assert convert(inputs, tmp_path / "out", "--report", str(tmp_path / "report.json")) != 0
    assert digest(tmp_path / "out") == {name: content for name, content in alone.items() if not name.startswith("1.")}
    assert str(broken) in capsys.readouterr().err
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    assert [Path(row["source"]).name for row in rows] == [f"{number}.tif" for number in range(COUNT)]
    assert [row["outcome"] for row in rows] == ["converted", "failed", "converted", "converted"]


def test_nothing_has_its_name_before_all_of_it_is_on_disk(
    inputs: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut what is left of a file may be what the last sync has written."""
    out, synced, renames = tmp_path / "out", {}, []
    convert(inputs, out, "--initial-downsample", "1")  # replaced below
    sync, rename, mkdir = Disk.sync, by_rename.rename, Path.mkdir

    def syncing(disk: Disk) -> None:
        sync(disk)
        synced.clear()
        synced.update({path: path.read_bytes() for path in out.rglob("*") if path.is_file()})

    def renaming(source: Path, target: Path) -> None:
        held = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
        assert "zarr.json" in {path.name for path in held if path.parent == source}
        assert all(synced[path] == content for path, content in held.items())
        renames.append(source.name)
        rename(source, target)

    def making(path: Path, *arguments: int, **options: bool) -> None:
        if path.name.endswith(".partial"):
            assert synced[path.with_name(path.name.replace(".partial", ".record"))].startswith(MAGIC)
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Disk, "sync", syncing)
    monkeypatch.setattr(by_rename, "rename", renaming)
    monkeypatch.setattr(Path, "mkdir", making)
    convert_in_groups(inputs, out, together.Most(images=2))
    assert renames == [f".{number}.ome.zarr.partial" for number in range(COUNT)]
    assert names(out) == [f"{number}.ome.zarr" for number in range(COUNT)]
    assert digest(out) == alone


def test_syncs_are_shared(inputs: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    sync = Disk.sync
    monkeypatch.setattr(Disk, "sync", lambda disk: (counted.append("syncfs"), sync(disk))[1])
    monkeypatch.setattr(os, "fsync", lambda fd: counted.append("fsync"))
    convert_in_groups(inputs, tmp_path / "out", together.Most(seconds=math.inf))
    assert len(counted) == 3  # the records, the datasets, their names


def test_their_folder_is_listed_once_when_they_have_their_names(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, listdir = [], os.listdir

    def listing(path: Path) -> list[str]:
        if path == tmp_path / "out":
            listed.append(sum(name.startswith(".") for name in listdir(path)))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listing)
    convert_in_groups(inputs, tmp_path / "out", together.Most(seconds=math.inf))
    # each once it is locked, before it has a record; then all locks and records
    assert listed == [*(2 * number + 1 for number in range(COUNT)), 2 * COUNT]


def test_a_disk_that_loses_data_publishes_nothing(
    inputs: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, sync, calls = tmp_path / "out", Disk.sync, []

    def losing(disk: Disk) -> None:
        calls.append(disk)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        sync(disk)

    with monkeypatch.context() as patched:
        patched.setattr(Disk, "sync", losing)
        assert convert(inputs, out) != 0
    assert [name for name in names(out) if not name.startswith(".")] == []
    assert convert(inputs, out) == 0
    assert digest(out) == alone


def test_an_interrupted_group_is_made_by_the_next_run(
    inputs: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, give = tmp_path / "out", Making._give

    def interrupted(making: Making, member: Member) -> None:
        if member.target.name.startswith("2."):
            while making._makers:
                making._take(math.inf)
            raise KeyboardInterrupt
        give(making, member)

    with monkeypatch.context() as patched:
        patched.setattr(Making, "_give", interrupted)
        with pytest.raises(KeyboardInterrupt):
            api.convert(inputs, out, tile_size=64, min_dimension=64)
    assert not any(name.endswith(".lock") for name in names(out))
    assert [name for name in names(out) if not name.startswith(".")] == ["0.ome.zarr", "1.ome.zarr"], "what is made is kept"
    assert convert(inputs, out) == 0
    assert digest(out) == alone


def test_where_images_take_long_those_made_are_published_between(
    inputs: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, publish, there = tmp_path / "out", together.Together._publish, []

    def looking(group: together.Together) -> None:
        publish(group)
        assert group._publishing
        group._publishing.wait()
        there.append([name for name in names(out) if not name.startswith(".")])

    monkeypatch.setattr(together.Together, "_publish", looking)
    monkeypatch.setattr(Solos, "have_room", property(lambda solos: not any(worker.tasks for worker in solos._pool.workers)))
    convert_in_groups(inputs, out, together.Most(seconds=0.0))
    assert [len(found) for found in there] == [0, 1, 2, 3, 4, 4]
    assert digest(out) == alone


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("call", ["rename", "renameat2", "mkdir", "unlink", "unlinkat", "fsync", "syncfs"])
def test_killed_at_every_call_each_is_old_or_new_and_the_next_run_finishes(
    inputs: Path, made: tuple[Path, Path], tmp_path: Path, call: str
) -> None:
    program = [sys.executable, "-m", "omezarr_proc", "--input-dir", inputs, "--output-dir", tmp_path / "out", *FLAGS]
    convert(inputs, tmp_path / "old", "--initial-downsample", "1")
    old, new = tmp_path / "old", made[1]
    for number in range(1, 200):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(old, tmp_path / "out")
        trace = ["strace", "-f", "-qq", "-o", tmp_path / "log", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        subprocess.run([*trace, *program], cwd=ROOT, capture_output=True, timeout=60)
        killed = "SIGKILL" in (tmp_path / "log").read_text()
        for dataset in old.iterdir():
            found = digest(tmp_path / "out" / dataset.name)
            assert found in (digest(dataset), digest(new / dataset.name)), f"{call} {number} {dataset.name}"
        again = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert again.returncode == 0, f"{call} {number}: {again.stderr}"
        assert digest(tmp_path / "out") == digest(new), f"{call} {number}"
        if not killed:
            return
    pytest.fail(f"more than 200 calls of {call}")
