"""Fields of plates are made by one worker each, and are what all workers, or one process, would have made."""

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conversion import digest
from plates import damage, write_plate, write_set

from omezarr_proc import cli
from omezarr_proc.app.progress import Report
from omezarr_proc.build.field_by_field import FieldByField
from omezarr_proc.build.makers import Makers
from omezarr_proc.build.means import Means
from omezarr_proc.build.plate import PlateConversion
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.serial import Serial
from omezarr_proc.host.limits import Limits
from omezarr_proc.publish.lock import Lock
from omezarr_proc.tiff.describe.images import open_images

WELLS = [(2, 11, 2), (0, 1, 1), (0, 0, 2), (1, 5, 1)]
LIMITS = Limits(memory_bytes=512 << 20, headroom_bytes=512 << 20, memory_source="a test", cpus=1.0, cpu_source="a test")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    write_plate(tmp_path / "screen.ome.tif", WELLS)
    return tmp_path / "screen.ome.tif"


@pytest.fixture
def expected(plate: Path, tmp_path: Path) -> dict[str, str]:
    """What one process makes, without workers."""
    out = tmp_path / "serial/screen.ome.zarr"
    with closing(Serial()) as serial, Lock(out) as lock:
        means = Means(settings=Settings(output_dir=out.parent), limits=LIMITS, engine=serial, report=Report())
        PlateConversion(images=tuple(open_images(str(plate))), means=means).run(out, lock)
    return digest(out)


@pytest.fixture
def by_all(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fields that all workers have made together."""
    made: list[str] = []
    make = FieldByField._make

    def noting(fields: FieldByField, path: str, *others: Any) -> Any:
        made.append(path)
        return make(fields, path, *others)

    monkeypatch.setattr(FieldByField, "_make", noting)
    return made


def convert(plate: Path, out: Path, *flags: str) -> int:
    return cli.main([str(plate), "--output-dir", str(out), "--max-workers", "2", "--quiet", *flags])


def test_workers_make_the_same_fields(plate: Path, expected: dict[str, str], by_all: list[str], tmp_path: Path) -> None:
    assert convert(plate, tmp_path / "out") == 0
    assert not by_all
    assert digest(tmp_path / "out/screen.ome.zarr") == expected


def test_a_worker_that_is_killed_leaves_its_fields_to_all(
    plate: Path, expected: dict[str, str], by_all: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = Makers.give

    def killing(makers: Makers[Any], name: Any, *others: Any) -> None:
        give(makers, name, *others)
        if name[0] == "A/2/0":
            assert makers._solos
            os.kill(makers._solos._pool.workers[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Makers, "give", killing)
    assert convert(plate, tmp_path / "out") == 0
    assert by_all
    assert digest(tmp_path / "out/screen.ome.zarr") == expected


def test_a_field_that_fails_stops_no_other_and_they_are_kept(by_all: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    names = write_set(tmp_path / "in", WELLS)
    damage(tmp_path / "in" / names[2], 2)
    assert convert(tmp_path / "in" / names[0], tmp_path / "out") == 1
    assert "1 of 6 fields failed" in capsys.readouterr().err
    hidden, _ = sorted(os.listdir(tmp_path / "out"))
    assert len(list((tmp_path / "out" / hidden).glob("*/*/*/zarr.json"))) == 5
    assert not by_all


def test_after_a_kill_all_workers_make_what_is_left(
    plate: Path, expected: dict[str, str], by_all: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of a plate tells of the kill, and not of the field that it may have been for."""
    with monkeypatch.context() as patched:
        patched.setattr(FieldByField, "run", lambda fields: os.kill(os.getpid(), signal.SIGKILL))
        pid = os.fork()
        if pid == 0:
            convert(plate, tmp_path / "out")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert convert(plate, tmp_path / "out") == 0
    assert len(by_all) == 6
    assert digest(tmp_path / "out/screen.ome.zarr") == expected
