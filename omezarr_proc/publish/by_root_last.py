"""The staged dataset is moved in place where its folder cannot be renamed, as a mount cannot: child by child, its root last.

The dataset is the folder itself, and its hidden files are inside it. What a reader sees there, also after a crash at any moment:

    nothing there before     no root, then the new dataset
    replacement              the old dataset, then no root for as long as it takes to rename each level twice, then the new dataset; after a
                             crash in between, no root until the next run, which begins with `recover`

Nobody ever sees a mixture of both, since a dataset is only what has a root. These are the steps, each of which may be the last of a killed
run, and what is there tells the next one where to go on:

    1  everything is flushed, and `.partial` renamed to `.whole`: from here on the new dataset is published, whoever finishes it
    2  the old root, then what it names, is renamed into `.aside`, and that to `.old-N`
    3  the children in `.whole` are renamed into the folder, at last the root
    4  `.whole`, then empty, and after the new root has been read back `.old-N` are removed

The root is some documents, which come in the order of ROOT_DOCUMENTS and go in the reverse one: of Zarr v2 the attributes, which make an
image of the group and which some readers ask for alone, are the last to come and the first to go. What has the name of a child that still
is in `.whole` is the old one; of old children without a successor the old root tells, which therefore is kept beside them. The folder is
flushed after each step, since a root must not be on disk before what it speaks of, and not after that has gone.

For an object store see `in_store`.
"""

import contextlib
import errno
import os
from pathlib import Path

from loguru import logger

from omezarr_proc.host.faults import output_error, rename
from omezarr_proc.model.errors import InTheWayError, OutputError
from omezarr_proc.publish.children import children_of, refuse_in_the_way
from omezarr_proc.publish.existing import dataset_at, root_attributes
from omezarr_proc.publish.hidden import (
    INSIDE,
    aside_path,
    free_old_path,
    hidden_files,
    inside,
    is_of_part,
    is_ours,
    old_paths,
    record_path,
    staging_path,
    whole_path,
)
from omezarr_proc.publish.leftovers import clear, discard, forget_parts, forget_unbegun
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.readback import ROOTS, read_back, root_of
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.remove import remove_tree
from omezarr_proc.store.sync import Disk, sync_folder


def publish(folder: Path, deadline: float | None = None, disk: Disk | None = None, *, force: bool = False) -> bool:
    """Move what is staged, complete with its root metadata, in place. The caller holds the lock and has closed the record.

    disk  the record's, open since before anything was written, so that it tells of all that was lost; None: nothing else syncs the file
          system

    An OME-Zarr dataset there is replaced; with `force` also whatever else has a name that the new one needs. All else stays.

    Returns whether nothing hidden is left: what was replaced may be too much to remove before `deadline` (as time.monotonic() counts).
    Raises OutputError; then the folder is as it was, or has no root and `recover` finishes; or what the file system shows there cannot be
    trusted.
    """
    target = inside(folder)
    staging, whole = staging_path(target), whole_path(target)
    try:
        (disk or Disk(staging)).sync()
        name, root = root_of(staging)
        if not force:
            refuse_in_the_way(folder, os.listdir(staging))
        old = dataset_at(folder) or " and ".join(sorted(_in_place(folder, set(os.listdir(staging)))))
        rename(staging, whole)
        sync_folder(folder)
        _move_in(folder)
        read_back(folder / name, root)
        if old:
            logger.info(f"{folder}: has replaced {old}")
        return clear(target, deadline)
    except OSError as error:
        raise output_error("cannot publish", error, folder) from error


def recover(folder: Path) -> bool:
    """Finish what a killed run has begun to publish in `folder`; returns whether something is still hidden there.

    For the start of a run, before its lock. A folder that another run works on is left alone. Raises OutputError.
    """
    try:
        if not any(name == INSIDE for name, _, _ in hidden_files(folder)):
            return False
        with contextlib.suppress(OutputError), Lock(inside(folder), patience=0):
            return settle(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise output_error("cannot put in order what an earlier run has left", error, folder) from error
    return True


def clean(folder: Path) -> bool:
    """Finish an interrupted publishing, then remove all that is hidden in `folder`, also what a run would go on with.

    Returns whether nothing is left. The caller holds the lock. Raises OutputError.
    """
    try:
        settle(folder)
        return discard(inside(folder))
    except OSError as error:
        raise output_error("cannot remove what is left of it", error, folder) from error


def settle(folder: Path) -> bool:
    """Finish an interrupted publishing; returns whether something is still hidden. The caller holds the lock. Raises OSError."""
    target = inside(folder)
    if not is_ours(target):
        forget_unbegun(target)
        return False
    if os.path.lexists(whole_path(target)):
        _move_in(folder)
    if old_paths(target) or any(os.path.lexists(path(target)) for path in (staging_path, aside_path, whole_path)):
        return True
    forget_parts(target)
    record_path(target).unlink()
    return False


def refuse_foreign_hidden(folder: Path) -> None:
    """Raise InTheWayError where something is named like our hidden files in `folder` that is not certainly ours. Raises OSError."""
    target = inside(folder)
    if is_ours(target):
        return
    for name, role, path in hidden_files(folder):
        if name == INSIDE and not (role in ("lock", "owner", "record") or is_of_part(role)):
            raise InTheWayError("is in the way and not known to be of omezarr_proc: remove it, then run again", source=path)


def _move_in(folder: Path) -> None:
    """Steps 2 to 4 but for what was replaced, from wherever they were left. Raises OSError."""
    whole = whole_path(inside(folder))
    new = set(os.listdir(whole))
    if new & set(ROOTS):
        _put_aside(folder, new)
        for name in sorted(new - set(ROOT_DOCUMENTS)):
            rename(whole / name, folder / name)
        sync_folder(folder)
        for name in ROOT_DOCUMENTS:
            if name in new:
                rename(whole / name, folder / name)
    sync_folder(folder)
    remove_tree(whole)


def _put_aside(folder: Path, new: set[str]) -> None:
    """Take away the old dataset, and whatever else has one of the names `new`. Raises OSError."""
    target = inside(folder)
    aside = aside_path(target)
    taken = _in_place(folder, new)
    if not (taken or dataset_at(folder) or os.path.lexists(aside)):
        return
    aside.mkdir(exist_ok=True)
    for name in reversed(ROOT_DOCUMENTS):
        if os.path.lexists(folder / name):
            rename(folder / name, aside / name)
    sync_folder(aside)
    sync_folder(folder)
    for name in sorted((taken - set(ROOT_DOCUMENTS)) | children_of(folder, root_attributes(aside))):
        _take_away(folder / name, aside / name)
    sync_folder(aside)
    rename(aside, free_old_path(target))
    sync_folder(folder)


def _in_place(folder: Path, new: set[str]) -> set[str]:
    """What is in the way of a dataset whose children `new` are still to be moved: their names, and roots of the other Zarr format."""
    of_format = {"zarr.json"} if "zarr.json" in new else {".zgroup", ".zattrs"}
    return {name for name in new | (set(ROOT_DOCUMENTS) - of_format) if os.path.lexists(folder / name)}


def _take_away(child: Path, to: Path) -> None:
    """Rename a child of the old dataset; one that cannot be, since it is of an overlay's lower layer, is removed where it lies."""
    try:
        rename(child, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not remove_tree(child):
            raise OSError(errno.EBUSY, f"{child.name} can neither be renamed nor removed: remove it, then run again") from None
