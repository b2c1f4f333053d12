"""The peak that a plan projects against what all processes of a conversion take, on geometries of every kind; and the profiling tool."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import tifffile
from runs import TOOLS

from omezarr_proc.app import memprofile
from omezarr_proc.app.profiling.sampling import Sampler
from omezarr_proc.plan.kept import QUEUE_BYTES

MB = 1 << 20
# How far the projected peak may be above the measured one; the processes themselves differ between versions of Python and the libraries.
SLACK = 0.3
# Mapped libraries of all processes: less of them is measured where other programs on the machine have mapped the same files.
FILE_BYTES = 16 * MB

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="the system does not tell what processes share")

RGB: dict[str, Any] = {"photometric": "rgb", "tile": (512, 512), "compression": "jpeg"}
GREY: dict[str, Any] = {"photometric": "minisblack"}
CASES: dict[str, tuple[tuple[int, ...], str, dict[str, Any], int, int]] = {
    # shape, dtype, how it is stored, limit in MB, workers
    "tiles of JPEG": ((4096, 4096, 3), "uint8", RGB, 512, 2),
    "little memory": ((4096, 4096, 3), "uint8", RGB, 140, 2),
    "many channels": ((4, 2048, 2048), "uint16", {**GREY, "tile": (256, 256), "compression": "deflate", "predictor": True}, 512, 2),
    # one worker, since two decode their strips at the same time only by chance
    "large strips": ((4096, 4096), "uint16", {**GREY, "rowsperstrip": 2048, "compression": "lzw"}, 512, 1),
    "one strip": ((2000, 4000), "float32", {**GREY, "rowsperstrip": 2000, "compression": "deflate"}, 512, 2),
    "small planes": ((160, 512, 512), "uint16", GREY, 512, 2),
}


SLOW = TOOLS / "slow_fs.sh"  # each create in its folder takes some ms


@pytest.fixture(autouse=True)
def without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes memory in each process that it measures."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def write(path: Path, shape: tuple[int, ...], dtype: str, options: dict[str, Any]) -> Path:
    rng = np.random.default_rng(1)
    tifffile.imwrite(path, rng.integers(0, 200, shape, np.uint8).astype(dtype), metadata=None, **options)
    return path


@pytest.mark.parametrize("name", CASES)
def test_peak_stays_below_the_projected_one_and_not_far(name: str, tmp_path: Path) -> None:
    shape, dtype, options, limit, workers = CASES[name]
    flags = ["--max-workers", str(workers)]
    found, _ = memprofile.profile(write(tmp_path / "image.tif", shape, dtype, options), tmp_path, limit, flags)
    print(f"{name}: projected {found.projected_bytes / MB:.0f} MB, peak {found.peak_bytes / MB:.0f} MB")
    assert found.fault is None
    assert found.projected_bytes <= found.limit_bytes
    projected = found.projected_bytes - workers * QUEUE_BYTES  # this storage is fast: hardly anything waits for it
    assert projected <= (1 + SLACK) * (found.peak_bytes + max(0, FILE_BYTES - found.peak_file_bytes))


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.shared
@pytest.mark.skipif(not SLOW.exists(), reason="needs the shared tools beside the repository")
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="a slow file system takes root and FUSE")
def test_what_waits_for_slow_storage_is_in_the_projection(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    source, fast, efs, slow = (tmp_path / name for name in ("image.tif", "fast", "efs", "slow"))
    tifffile.imwrite(
        source, rng.integers(0, 1 << 16, (4096, 4096), np.uint16), tile=(256, 256)
    )  # noise: each chunk is as large as it can be
    found = {}
    for folder, wrapper in (
        (fast, []),
        (efs, [str(SLOW), "--dir", str(efs), "--ms", "8", "--"]),
        (slow, [str(SLOW), "--dir", str(slow), "--ms", "100", "--"]),  # at 8 ms a busy machine encodes no faster, and nothing waits
    ):
        report = tmp_path / f"{folder.name}-report"
        profile = [sys.executable, "-m", "omezarr_proc.app.memprofile", "--limit", "512", "--report", str(report)]
        subprocess.run([*wrapper, *profile, str(source), str(folder), "--", "--max-workers", "1"], check=True, timeout=120)
        (found[folder.name],) = json.loads(Path(f"{report}.json").read_text())
    grown = found["slow"]["peak_bytes"] - found["fast"]["peak_bytes"]
    print(f"slow storage takes {grown / MB:.1f} MB more; projected {found['slow']['projected_bytes'] / MB:.0f} MB")
    assert QUEUE_BYTES // 4 < grown < 2 * QUEUE_BYTES  # else this storage was not slow, or the queue has no bound
    assert found["slow"]["fault"] is None
    assert found["efs"]["peak_bytes"] + FILE_BYTES - found["efs"]["peak_file_bytes"] <= found["efs"]["projected_bytes"]


def test_a_preview_takes_no_more_than_was_projected(tmp_path: Path) -> None:
    """The largest picture there is, after a conversion that needs little."""
    flags = ["--max-workers", "1", "--preview", "--initial-downsample", "1", "--max-levels", "1"]
    source = write(tmp_path / "image.tif", (1022, 1022, 3), "uint8", {**RGB, "tile": (256, 256)})
    found, _ = memprofile.profile(source, tmp_path, 512, flags)
    assert (tmp_path / "image.ome.zarr.png").exists()
    assert found.fault is None


def test_shared_memory_counts_once() -> None:
    code = "import mmap, os, time; m = mmap.mmap(-1, 64 << 20); m.write(b'x' * len(m)); os.fork(); os.fork(); m[:] = m[:]; time.sleep(1.5)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    with Sampler(process.pid, 0.02) as sampler:
        process.wait()
        assert {sample.pid for sample in sampler.samples} >= {process.pid}
    assert len({sample.pid for sample in sampler.samples}) == 4
    # the median, since processes begin and end while others are looked at; counted for each process it would be 256 MB
    shared = median(sum(s.shared_bytes for s in sampler.samples if s.seconds == at) for at, _ in sampler.totals)
    assert 60 * MB <= shared <= 68 * MB
    assert all(sample.bytes >= sample.unique_bytes for sample in sampler.samples)


def test_profile_reports_and_fails_above_the_projection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "image.tif", (512, 512, 3), "uint8", RGB)
    report = str(tmp_path / "report")
    assert memprofile.main(["--limit", "512", "--report", report, str(source), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "image.ome.zarr" / "zarr.json").exists()
    (figures,) = json.loads(Path(f"{report}.json").read_text())
    assert figures["fault"] is None
    assert [phase for _, phase in figures["phases"]] == ["plan", "levels 0 to 0", "windows"]
    with open(f"{report}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["seconds"]] = totals.get(row["seconds"], 0) + int(row["bytes"])
    assert max(totals.values()) == figures["peak_bytes"]
    assert "projected" in capsys.readouterr().out

    def greedy(source: Path, output: Path, limit_mb: int, flags: object) -> tuple[memprofile.Profile, Sampler]:
        return memprofile.Profile(
            limit_bytes=limit_mb * MB,
            projected_bytes=100 * MB,
            peak_bytes=101 * MB,
            peak_file_bytes=0,
            cgroup_bytes=None,
            seconds=1.0,
            status=0,
            phases=[],
        ), Sampler(os.getpid())

    monkeypatch.setattr(memprofile, "profile", greedy)
    assert memprofile.main(["--report", report, str(source), str(tmp_path)]) == 1
    assert memprofile.main(["--sweep", "64,128", "--report", report, str(source), str(tmp_path)]) == 1
    assert [p["fault"] is not None for p in json.loads(Path(f"{report}.json").read_text())] == [True, True]


def test_profile_fails_with_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    found, _ = memprofile.profile(tmp_path / "image.tif", tmp_path / "out", 512)
    assert found.fault is not None
    assert "status 1" in found.fault
