"""Opening what lies below OUTPUT_DIR, where others may write too: plain files and real folders only, links are never followed."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# Of opening a file: a link is an error, and a FIFO that nobody reads too instead of a wait for ever. Both change nothing for a plain file.
PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: Path, flags: int = os.O_RDONLY, *, links: bool = False) -> int:
    """Open (or with os.O_CREAT make) a plain file and return its descriptor. Raises OSError, also for anything else of that name.

    links  whether a link to a plain file counts as one
    """
    try:
        fd = os.open(path, flags | (PLAIN & ~os.O_NOFOLLOW if links else PLAIN), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "Is a link, and links are not followed here", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Is no plain file", str(path))
    return fd


def read_file(path: Path) -> bytes:
    """All of a plain file. Raises OSError."""
    with open(open_file(path), "rb") as file:
        return file.read()


def is_folder(path: Path) -> bool:
    """Whether this is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def strangers(folder: Path) -> Iterator[str]:
    """Yield the paths of all below a folder that is neither a folder nor a plain file: links, FIFOs, devices. Raises OSError."""
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    yield entry.path


def first_link(root: Path, folder: Path) -> Path | None:
    """The first part of `folder` below `root` that is a link; None where none is. `root` itself may be one."""
    parts = folder.relative_to(root).parts
    places = (root.joinpath(*parts[:count]) for count in range(1, len(parts) + 1))
    return next((place for place in places if place.is_symlink()), None)
