"""Places as a user names them: whether a file can be read, and an output be written, found out before work."""

import os
import stat
from pathlib import Path

from omezarr_proc.host import mounts
from omezarr_proc.host.remote import require
from omezarr_proc.model.address import READABLE, Address, Place, place
from omezarr_proc.model.errors import InputError, MissingFolderError, SettingsError, UnreadableInputError
from omezarr_proc.model.text import shown


def named_place(name: str) -> Place:
    """What a user names: a path, or an address that can be read from. Raises SettingsError for other addresses."""
    found = place(name)
    if isinstance(found, Path):
        return found
    if found.scheme not in READABLE:
        raise SettingsError(f"{shown(found)}: there are {', '.join(f'{scheme}://' for scheme in READABLE)}")
    if found.scheme in ("https", "http") and set("?#@") & set(found):
        raise SettingsError(
            f"the address of {shown(found.partition('?')[0].rpartition('/')[2])} has a query, a fragment or a user. These can hold a"
            " password, which would be logged and noted: download the file, or use the store's own address (s3://...)"
        )
    require(found)
    return found


def check_file(path: Place) -> None:
    """Raise InputError unless this is a regular file with something in it that may be read (a FIFO would block its reader for ever).

    An object is not looked at: whoever opens it finds out with the first request.
    """
    if isinstance(path, Address):
        return
    path = path.absolute()  # as messages about images have it
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableInputError("is a folder: name its files, or it alone (--input-dir)", source=path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInputError("is not a file", source=path)
        if not status.st_size:
            raise InputError("is empty", source=path, hint="copy it again from where it was made")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UnreadableInputError(f"cannot be read: {error.strerror}", source=path) from None


def check_output(output_dir: Place, *, create: bool) -> None:
    """Make sure that datasets can be written to `output_dir`, making it if asked to. Raises SettingsError."""
    if isinstance(output_dir, Address):  # whether it can be written to shows with the first lock
        return
    try:
        existing = next(path for path in (output_dir.absolute(), *output_dir.absolute().parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise NotADirectoryError(20, f"{shown(existing)} is not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(13, _why_not_writable(existing))
        if create:
            output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingFolderError(f"OUTPUT_DIR {shown(output_dir)} cannot be written to: {error.strerror}") from None


def _why_not_writable(folder: Path) -> str:
    """Whose right is missing where, or that nobody can write there."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{shown(folder)} is on a read-only file system"
    status = folder.stat()
    owner = f"it belongs to {status.st_uid}:{status.st_gid} with mode {stat.S_IMODE(status.st_mode):o}"
    return f"user {os.geteuid()}:{os.getegid()} may not write to {shown(folder)}: {owner}"


def output_doubt(output_dir: Place) -> str:
    """What makes it doubtful that somebody finds the output of the program's image again; empty where nothing does."""
    if isinstance(output_dir, Address) or not mounts.in_image():
        return ""
    relative = not output_dir.is_absolute()
    name = f"OUTPUT_DIR {shown(output_dir)}" + (f", which is {shown(output_dir.absolute())} here," if relative else "")
    if mounts.goes_with_the_container(output_dir):
        return f"{name} is on no volume: it goes with the container"
    return f"{name} is a relative path: name the whole one" if relative else ""
