"""The file of a record when a run begins: it and the staging folder are brought into step, and what it says is true from then on.

Nothing that is opened or removed here leads out of the output through a link: the record is a plain file, and a staging folder that is a
link, or holds one or anything else that this program does not make, is removed and made anew (links themselves, not what they lead to)
before anything is written. Chunk files are opened without following links at any time; against who puts a link in the place of a folder
while a conversion runs, nothing helps but permissions.
"""

import os
from pathlib import Path

from omezarr_proc.model.errors import InTheWayError, OutputError
from omezarr_proc.publish.hidden import MAGIC, part_files, record_path, staging_path
from omezarr_proc.publish.history import History, header, read
from omezarr_proc.store.opening import is_folder, strangers
from omezarr_proc.store.remove import remove_tree
from omezarr_proc.store.sync import sync_folder


def prepare(fd: int, target: Path, key: str) -> History:
    """Bring record and staging into step; what the record says of `key` is true of `staging` afterwards."""
    path, staging = record_path(target), staging_path(target)
    data = _content(fd)
    if MAGIC.startswith(data) and data != MAGIC:  # new, or its maker was killed
        if os.path.lexists(staging):
            path.unlink()
            raise InTheWayError("is in the way and not known to be of omezarr_proc: remove it, then run again", source=staging)
        os.ftruncate(fd, 0)
        write_all(fd, MAGIC)
        os.fsync(fd)
        sync_folder(path.parent)
    elif not data.startswith(MAGIC):
        raise InTheWayError("is in the way and not of omezarr_proc: remove it, then run again", source=path)
    history = read(data, key)
    if history is not None and is_folder(staging) and not any(strangers(staging)):
        os.ftruncate(fd, history.end)
        _forget_metadata(staging)
        return history
    os.ftruncate(fd, len(MAGIC))
    os.fsync(fd)  # before anything of the staging folder goes: half of it must not be taken for the whole
    for _, role, of_part in part_files(target):
        if role == "record":  # what it tells of goes now
            of_part.unlink(missing_ok=True)
    if not remove_tree(staging):
        raise OutputError("cannot remove what an earlier run has left: remove it, then run again", source=staging)
    first = header(key)
    write_all(fd, first)
    os.fsync(fd)
    staging.mkdir()
    return History(end=len(MAGIC) + len(first))


def prepare_part(fd: int, path: Path, key: str) -> History:
    """What the record of a part says; it begins anew where that is nothing of `key`."""
    data = _content(fd)
    if not (data.startswith(MAGIC) or MAGIC.startswith(data)):
        raise InTheWayError("is in the way and not of omezarr_proc: remove it, then run again", source=path)
    if (history := read(data, key)) is not None:
        os.ftruncate(fd, history.end)
        return history
    os.ftruncate(fd, 0)
    first = MAGIC + header(key)
    write_all(fd, first)
    os.fsync(fd)
    sync_folder(path.parent)
    return History(end=len(first))


def _content(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def _forget_metadata(staging: Path) -> None:
    """Remove the documents, which each attempt writes anew, whole or torn. Raises OSError (`Path.glob` passes over what it cannot list)."""
    for folder in (staging, *(path for path in staging.iterdir() if is_folder(path))):
        for path in folder.iterdir():
            if path.name.startswith(("zarr.", ".z")):  # also temporary names: zarr.json.partial, and zarr.<hex>.partial of earlier versions
                path.unlink()


def write_all(fd: int, data: bytes) -> None:
    """Append all of it. Raises OSError, of a full disk too, with a part written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
