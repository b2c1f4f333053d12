"""Small images are made by one worker each; what one cannot make, all make, and the datasets are the same whoever does."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from runs import ROOT, digest

from omezarr_proc.app import batch
from omezarr_proc.app.making import Making
from omezarr_proc.app.member import Member
from omezarr_proc.app.progress import Report
from omezarr_proc.app.search import find
from omezarr_proc.build import makers
from omezarr_proc.build.solo import SoloMade
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.plan.memory import MAIN_BYTES, NURSERY_BYTES, RESERVE_BYTES
from omezarr_proc.plan.solo import SOLO_BYTES, limits_of_one

COUNT = 5
MB = 1 << 20


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small images of several kinds."""
    folder, rng = tmp_path_factory.mktemp("in"), np.random.default_rng(3)
    grey: dict[str, Any] = {"photometric": "minisblack"}
    tifffile.imwrite(folder / "0.ome.tif", rng.integers(0, 4000, (3, 130, 150), np.uint16), ome=True, metadata={"axes": "CYX"}, **grey)
    tifffile.imwrite(folder / "1.tif", rng.integers(0, 255, (150, 130, 3), np.uint8), tile=(64, 64), photometric="rgb")
    tifffile.imwrite(folder / "2.tif", rng.random((40, 90, 70), np.float32), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "3.tif", rng.integers(0, 255, (200, 210), np.uint8), compression="deflate", rowsperstrip=200, **grey)
    tifffile.imwrite(folder / "4.tif", rng.integers(0, 255, (90, 70), np.uint8), **grey)
    return folder


def convert(inputs: Path, out: Path, **settings: Any) -> tuple[list[Outcome], Report]:
    report = Report()
    chosen = Settings(input_dir=inputs, output_dir=out, tile_size=64, min_dimension=32, max_workers=2, **settings)
    return batch.run(chosen, find(inputs, out).inputs, report, may_fork=False), report


@pytest.fixture
def by_all(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """The members that all workers have made together, in their order."""
    made: list[Member] = []
    make = Making._make

    def noting(making: Making, member: Member) -> None:
        made.append(member)
        make(making, member)

    monkeypatch.setattr(Making, "_make", noting)
    return made


@pytest.fixture(scope="module")
def expected(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What they become when all workers make them, one after another."""
    out = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Making, "_by_all", lambda making, member: True)
        convert(inputs, out)
    return digest(out)


def test_workers_make_what_all_of_them_would_make(inputs: Path, expected: dict[str, str], by_all: list[Member], tmp_path: Path) -> None:
    outcomes, report = convert(inputs, tmp_path)
    assert not by_all
    assert digest(tmp_path) == expected
    assert [Path(outcome.source).name[0] for outcome in outcomes] == ["0", "1", "2", "3", "4"]
    assert all({"levels", "windows", "publish"} <= result.phases.keys() for result in report.results.done)
    assert [result.summary and result.summary.chunks for result in report.results.done] == [outcome.chunks for outcome in outcomes]


def test_a_worker_that_is_killed_costs_nothing_but_time(
    inputs: Path, expected: dict[str, str], by_all: list[Member], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = Making._give

    def killing(self: Making, member: Member) -> None:
        give(self, member)
        if member.target.name.startswith("1."):
            assert self._makers._solos
            os.kill(self._makers._solos._pool.workers[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Making, "_give", killing)
    outcomes, report = convert(inputs, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["converted"] * COUNT
    assert by_all
    assert sum(result.retries for result in report.results.done) == 1
    assert digest(tmp_path) == expected


def test_what_the_memory_of_one_worker_is_too_little_for_all_make(
    inputs: Path, expected: dict[str, str], by_all: list[Member], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(makers, "limits_of_one", lambda limits, workers: replace(limits, headroom_bytes=0))
    convert(inputs, tmp_path)
    assert len(by_all) == COUNT
    assert digest(tmp_path) == expected


def test_time_that_is_up_leaves_no_half_dataset(
    inputs: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Making._take

    def late(self: Making, patience: float) -> None:
        assert self._makers._solos
        self._makers._solos._pool._deadline = 0.0
        take(self, patience)

    with monkeypatch.context() as patched:
        patched.setattr(Making, "_take", late)
        outcomes, _ = convert(inputs, tmp_path)
    failed = [outcome.error for outcome in outcomes if outcome.status == "failed"]
    assert failed and all(isinstance(error, OutOfTimeError) for error in failed)
    there = digest(tmp_path)
    shown = {name: content for name, content in there.items() if not name.startswith(".")}
    done = {outcome.target.name for outcome in outcomes if outcome.status == "converted" and isinstance(outcome.target, Path)}
    assert shown == {name: content for name, content in expected.items() if name.split("/")[0] in done}
    convert(inputs, tmp_path)
    assert digest(tmp_path) == expected


def test_what_a_worker_has_to_say_is_logged(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        path = tmp_path / f"in/{number}.tif"
        pixels = np.random.default_rng(number).integers(0, 255, (256, 256), np.uint8)
        tifffile.imwrite(path, pixels, tile=(64, 64), compression="jpeg", photometric="minisblack")
        with tifffile.TiffFile(path) as tiff:
            offset, size = tiff.pages.first.dataoffsets[5], tiff.pages.first.databytecounts[5]
        with open(path, "r+b") as file:
            file.seek(offset + size // 2)
            file.write(b"\xff\xd9")  # an end before the end
    command = [sys.executable, "-m", "omezarr_proc", "--input-dir", tmp_path / "in", "--output-dir", tmp_path / "out"]
    done = subprocess.run([*command, "--on-corrupt", "warn", "--tile-size", "64"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line and "damaged" in line]
    assert {number for number in "01" if any(f"{number}.tif" in line for line in warnings)} == {"0", "1"}, done.stderr


def test_a_library_that_surprises_is_an_error_of_its_image(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[SoloMade] = []
    end = Making._end

    def surprised(self: Making, member: Member, made: SoloMade) -> None:
        if member.target.name.startswith("2."):
            made = SoloMade(error=ZeroDivisionError("of a library"))
        ended.append(made)
        end(self, member, made)

    monkeypatch.setattr(Making, "_end", surprised)
    outcomes, _ = convert(inputs, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["converted", "converted", "failed", "converted", "converted"]
    assert "ZeroDivisionError" in str(outcomes[2].error)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="the system does not tell what processes share")
@pytest.mark.parametrize("limit", [160, 256])
def test_images_side_by_side_stay_within_the_limit(limit: int, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(1).integers(0, 1 << 14, (4, 2048, 2048), np.uint16)
    tifffile.imwrite(tmp_path / "in/0.tif", pixels, photometric="minisblack", compression="deflate", rowsperstrip=2048)
    for number in range(1, 6):
        os.link(tmp_path / "in/0.tif", tmp_path / f"in/{number}.tif")
    command = [sys.executable, "-m", "omezarr_proc", "--quiet", "--input-dir", tmp_path / "in", "--output-dir", tmp_path / "out"]
    flags = ["--memory-limit-mb", str(limit), "--max-workers", "2", "--report", tmp_path / "report.json"]
    subprocess.run([*command, *flags], cwd=ROOT, check=True, timeout=300)
    peak = json.loads((tmp_path / "report.json").read_text())["totals"]["peakMemory"]
    assert 0 < peak <= limit * MB


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_shares_together_are_what_there_is(workers: int) -> None:
    """What each has beside that which a plan counts once is an equal part of it, less what a worker takes for itself."""
    limits = Limits(memory_bytes=1024 * MB, headroom_bytes=800 * MB, memory_source="", cpus=4.0, cpu_source="")
    once = MAIN_BYTES + NURSERY_BYTES + RESERVE_BYTES
    own = limits_of_one(limits, workers)
    assert (own.cpus, own.memory_bytes) == (1.0, limits.memory_bytes)
    assert once + workers * (own.headroom_bytes - once + SOLO_BYTES) == pytest.approx(limits.headroom_bytes, abs=workers)
    assert limits_of_one(replace(limits, headroom_bytes=MB), workers).headroom_bytes <= MB
