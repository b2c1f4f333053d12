"""Runs of the program as one part of several."""

import os
import subprocess
import sys
from pathlib import Path

from runs import ROOT

FLAGS = ("--tile-size", "64", "--initial-downsample", "1")
# The program that dies when all is made, just before it is published.
UNPUBLISHED = """
import os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.tree import ByRename
ByRename.publish = lambda tree: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


def run(out: Path | str, source: Path, *flags: str, command: tuple[str, ...] = (), **environ: str) -> tuple[int, str]:
    """Convert a folder; the status, and what was said."""
    words = [*(command or (sys.executable, "-m", "omezarr_proc")), "--input-dir", source, "--output-dir", out, *FLAGS, *flags]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | environ)
    print(done.stderr)
    return done.returncode, done.stderr
