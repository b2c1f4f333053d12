"""SIGKILL at every single change of names, flush and record line of a whole run that replaces an old dataset."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from runs import ROOT, digest

# Each is counted by itself, in each thread; what a machine does not have or the program does not use is not reached.
CALLS = ("rename", "renameat2", "mkdir", "unlink", "unlinkat", "rmdir", "fsync", "syncfs", "write", "ftruncate")
MOST = 400
FLAGS = ("--tile-size", "64", "--min-dimension", "64", "--quiet")
NAMES = {"folders": "a.ome.zarr", "root": "."}  # of the dataset in OUTPUT_DIR, by layout


@pytest.fixture
def folder(tmp_path: Path, layout: str) -> Path:
    if not shutil.which("strace") or subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True).returncode:
        pytest.skip("needs a strace that works here")
    pixels = np.random.default_rng(0).integers(0, 255, (300, 260), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64))
    for name, downsample in (("old", "1"), ("new", "2")):
        command = [
            sys.executable,
            "-m",
            "omezarr_proc",
            tmp_path / "a.tif",
            "--output-dir",
            tmp_path / name,
            *FLAGS,
            "--output-layout",
            layout,
        ]
        subprocess.run([*command, "--initial-downsample", downsample], check=True, cwd=ROOT)
    return tmp_path


def killed_runs(folder: Path, call: str, layout: str) -> Iterator[int]:
    """Runs that replace the old dataset, the n-th killed at the n-th such call, until there is no n-th one."""
    out, log = folder / "out", folder / "log"
    # of all writes, those into the record; all of them are too many
    record = out / (".a.ome.zarr.record" if layout == "folders" else ".ome.zarr.record")
    only = ["-P", str(record)] if call in ("write", "ftruncate") else []
    for number in range(1, MOST):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder / "old", out)
        trace = ["strace", "-f", "-qq", "-o", log, *only, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        program = [sys.executable, "-m", "omezarr_proc", folder / "a.tif", "--output-dir", out, *FLAGS]
        program += ["--output-layout", layout, "--initial-downsample", "2"]
        done = subprocess.run([*trace, *program], cwd=ROOT, capture_output=True, text=True, timeout=60)
        if "SIGKILL" not in log.read_text():
            assert done.returncode == 0, done.stderr
            return
        yield number
    pytest.fail(f"more than {MOST} calls of {call}")


@pytest.mark.slow
@pytest.mark.parametrize("layout", NAMES)
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_call_the_dataset_is_old_or_new_and_the_next_run_finishes(folder: Path, call: str, layout: str) -> None:
    """Where the dataset is OUTPUT_DIR itself, it may also have no root: then nobody takes it for one."""
    name = NAMES[layout]
    old, new = digest(folder / "old" / name), digest(folder / "new" / name)
    assert old != new
    for number in killed_runs(folder, call, layout):
        found = {path: content for path, content in digest(folder / "out" / name).items() if not path.startswith(".")}
        assert found in (old, new) or (layout == "root" and "zarr.json" not in found), f"{call} {number}"
        program = [sys.executable, "-m", "omezarr_proc", folder / "a.tif", "--output-dir", folder / "out", *FLAGS]
        program += ["--output-layout", layout, "--initial-downsample", "2"]
        again = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert again.returncode == 0, f"{call} {number}: {again.stderr}"
        assert digest(folder / "out") == digest(folder / "new"), f"{call} {number}"
