"""Whether what is written to a folder outlives the container. Linux tells by /proc/self/mountinfo (proc_pid_mountinfo(5))."""

import os
import re
from pathlib import Path

from omezarr_proc import REVISION_FILE

_IN_MEMORY = ("tmpfs", "ramfs")


def in_image() -> bool:
    """Whether this process runs in the program's own image."""
    return os.path.exists(REVISION_FILE)


def goes_with_the_container(folder: Path, mountinfo: str = "/proc/self/mountinfo") -> bool:
    """Whether a folder of a container lies on no volume: in its own root file system, or in memory. False where that is not told."""
    mount = mount_of(folder, mountinfo)
    return mount is not None and (mount[0] == "/" or mount[1] in _IN_MEMORY)


def mount_of(folder: Path, mountinfo: str) -> tuple[str, str] | None:
    """Where the file system of a folder, which need not be there yet, is mounted, and of which type it is; None where that is not told."""
    real = os.path.realpath(folder)
    found: tuple[str, str] | None = None
    try:
        with open(mountinfo) as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), left.split()[4])
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and (found is None or len(point) >= len(found[0])):  # of several at one point the last is on top
                    found = point, right.split()[0]
    except (OSError, IndexError):
        return None
    return found
