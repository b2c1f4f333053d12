"""Other operating systems: Windows is refused in one line; without what only Linux has the same bytes are made."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from runs import ROOT, digest

# A Python that lacks what Windows' lacks, or what only Linux' has. /proc is taken away in test_denied.py.
WINDOWS = "import sys; sys.modules['fcntl'] = None; "
MACOS = """
import os
for name in ("memfd_create", "posix_fallocate", "sched_getaffinity"):
    delattr(os, name)
from omezarr_proc.publish import by_rename
from omezarr_proc.store import sync
by_rename._libc = sync._libc = object()
from omezarr_proc.plan.plan import make_plan
make_plan.__kwdefaults__["choose"] = lambda layout, spool: "spool"
"""
CLI = "import sys; from omezarr_proc.cli import main; sys.exit(main())"


def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_windows_is_one_clear_line(tmp_path: Path) -> None:
    done = run(WINDOWS + CLI, "a.tif", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "on Windows use WSL 2 or the container image" in done.stderr
    assert run(WINDOWS + CLI, "--version").returncode == 0
    done = run(f"{WINDOWS}from omezarr_proc import convert")
    assert done.stderr.splitlines()[-1].startswith("omezarr_proc.model.errors.SettingsError: this Python has no POSIX locks")


@pytest.mark.skipif(sys.platform != "linux", reason="takes away what Linux has")
def test_without_what_only_linux_has_the_bytes_are_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 260), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, rowsperstrip=300, compression="lzw")
    for _ in range(2):  # the second replaces a dataset, without an exchange
        done = run(MACOS + CLI, tmp_path / "a.tif", tmp_path / "macos", "--quiet", "--existing", "force")
        assert (done.returncode, done.stderr) == (0, "")
    assert run(CLI, tmp_path / "a.tif", tmp_path / "linux", "--quiet").returncode == 0
    assert digest(tmp_path / "macos") == digest(tmp_path / "linux")
