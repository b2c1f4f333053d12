"""The staged dataset gets its final name, whole and safe on disk; a dataset that has the name already is replaced.

What a reader sees under the final name, also after a crash at any moment:

    nothing there before     nothing, then the new dataset
    exchange (renameat2)     the old dataset, then the new one
    no exchange (NFS, EFS)   the old dataset, then nothing for the time between two renames, then the new one; after a crash between the
                             two, nothing until the next run, which begins with `recover`
    neither (EXDEV)          the old dataset, then nothing while its files are removed, then the new one; after a crash in between, nothing
                             until the next run. So it is on an overlay (Docker, Podman) for a folder of a lower layer: what is there can
                             only be removed, unless the mount has redirect_dir

Everything is flushed before the first rename, and the folder after the last one. Before an exchange the new dataset is renamed from
`.NAME.partial` to `.NAME.old-N`; the exchange gives that name to the old dataset. So a run that is killed after the exchange leaves under
it what the next run can remove. One that is killed just before it leaves the new dataset there, which `recover` knows by its key and
takes back. What was replaced is removed after the new root metadata has been read back through the final name. No name is followed where
it is a link: a link is replaced itself.
"""

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from omezarr_proc.host.faults import output_error, rename
from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.existing import look, refuse_foreign, stored_key
from omezarr_proc.publish.hidden import (
    INSIDE,
    aside_path,
    emptied_path,
    free_old_path,
    hidden_files,
    is_of_part,
    is_ours,
    old_paths,
    record_path,
    staging_path,
)
from omezarr_proc.publish.history import recorded_key
from omezarr_proc.publish.leftovers import clear, discard, forget_parts, forget_unbegun
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.readback import ROOTS, read_back, root_of
from omezarr_proc.store.opening import open_file, read_file
from omezarr_proc.store.remove import remove_tree
from omezarr_proc.store.sync import Disk, sync_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV})
_libc = ctypes.CDLL(None, use_errno=True)


def publish(target: Path, deadline: float | None = None, disk: Disk | None = None, *, force: bool = False) -> bool:
    """Give what is staged, complete with its root metadata, the name `target`. The caller holds the lock and has closed the record.

    disk  the record's, open since before anything was written, so that it tells of all that was lost; None: nothing else syncs the file
          system

    An OME-Zarr dataset of that name is replaced; with `force` whatever has it is. The log says what was.

    Returns whether nothing hidden is left: what was replaced may be too much to remove before `deadline` (as time.monotonic() counts).
    Raises OutputError; then `target` is as it was, or `recover` makes it so; or what the file system shows there cannot be trusted.
    """
    try:
        (disk or Disk(staging_path(target))).sync()
        named = take_name(target, force=force)
        sync_folder(target.parent)
        return confirm(named, deadline)
    except OSError as error:
        raise output_error("cannot publish", error, target) from error


@dataclass(frozen=True)
class Named:
    """A dataset that has got its name: the file that makes it one, with what it must hold, and what has been replaced, in words."""

    target: Path
    root: Path
    content: bytes
    replaced: str


def take_name(target: Path, *, force: bool) -> Named:
    """Give what is staged, which is safe on disk, the name `target`; what had the name is hidden. Raises OutputError, OSError."""
    staging = staging_path(target)
    name, content = root_of(staging)
    if not force:
        refuse_foreign(target)
    if not (old := look(target)):
        rename(staging, target)
    elif not _exchange(staging, target):
        _replace(staging, target)
    return Named(target, target / name, content, old.what if old else "")


def confirm(named: Named, deadline: float | None, names: Iterable[str] | None = None) -> bool:
    """Whether nothing hidden is left of a dataset whose name is safe on disk: see `publish`; `names` as in `clear`.

    Raises OutputError, OSError.
    """
    read_back(named.root, named.content)
    if named.replaced:
        logger.info(f"{named.target}: has replaced {named.replaced}")
    return clear(named.target, deadline, names)


def recover(folder: Path) -> set[Path]:
    """Complete or undo what a killed run left half done in `folder`; returns the datasets that still have something hidden.

    For the start of a run, before any of its locks. Datasets that another run works on are left alone. What is staged waits for the run
    that goes on with it, which also removes what was replaced; a run that finds such a dataset done calls `discard`. Raises OutputError.
    """
    try:
        found: dict[Path, set[str]] = {}
        for name, role, _ in hidden_files(folder):
            if name != INSIDE:  # these are of the folder itself
                found.setdefault(folder / name, set()).add(role)
        left = set()
        for target, roles in found.items():
            roles = {role for role in roles if not is_of_part(role)}
            if "partial" in roles and roles <= {"record", "partial"}:
                left.add(target)
                continue
            with contextlib.suppress(OutputError), Lock(target, patience=0):
                if _settle(target):
                    left.add(target)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise output_error("cannot put in order what an earlier run has left", error, folder) from error
    return left


def clean(target: Path) -> bool:
    """Finish or undo an interrupted replacement, then remove all that is hidden of `target`, also what a run would go on with.

    Returns whether nothing is left. The caller holds the lock. Raises OutputError.
    """
    try:
        _settle(target)
        return discard(target)
    except OSError as error:
        raise output_error("cannot remove what is left of it", error, target) from error


def _settle(target: Path) -> bool:
    """Finish one dataset's interrupted replacement; returns whether something is still hidden."""
    staging, aside, record = staging_path(target), aside_path(target), record_path(target)
    if not is_ours(target):
        forget_unbegun(target)
        return False
    if os.path.lexists(aside):
        if os.path.lexists(target):
            rename(aside, free_old_path(target))
        elif _is_complete(staging):
            rename(staging, target)
            rename(aside, free_old_path(target))
        else:
            rename(aside, target)
        sync_folder(target.parent)
    if os.path.lexists(emptied_path(target)) and not _take_emptied(staging, target):
        return True
    olds = old_paths(target)
    if olds and not os.path.lexists(staging):
        key = recorded_key(read_file(record))
        for old in olds:
            if key is not None and stored_key(old) == key != stored_key(target):  # finished, and killed just before the exchange
                rename(old, staging)
                olds.remove(old)
                break
    if olds or os.path.lexists(staging):
        return True
    forget_parts(target)
    record.unlink()
    return False


def _is_complete(staging: Path) -> bool:
    """Whether the root metadata is there: of Zarr v2 the attributes with our key, since zarr writes empty ones before them."""
    return (staging / "zarr.json").exists() or stored_key(staging) is not None


def _exchange(staging: Path, target: Path) -> bool:
    """Replace `target` in one step; returns False, all being as before, where the file system cannot."""
    if not hasattr(_libc, "renameat2"):
        return False
    old = free_old_path(target)
    rename(staging, old)
    if not _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE):
        return True
    code = ctypes.get_errno()
    rename(old, staging)
    if code not in _NO_EXCHANGE:
        raise OSError(code, os.strerror(code), str(target))
    return False


def _replace(staging: Path, target: Path) -> None:
    """Replace `target` in two steps; where it cannot be renamed, by removing it first."""
    aside = aside_path(target)
    try:
        rename(target, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.close(open_file(emptied_path(target), os.O_WRONLY | os.O_CREAT))
        sync_folder(target.parent)
        for name in ROOTS:  # before anything else goes: without it nobody takes the rest for a dataset, and `recover` removes it
            (target / name).unlink(missing_ok=True)
        sync_folder(target)
        if not _take_emptied(staging, target):
            raise OSError(errno.EBUSY, "what is there can neither be renamed nor removed: remove it, then run again") from None
        return
    try:
        rename(staging, target)
    except OSError:
        rename(aside, target)
        raise
    rename(aside, free_old_path(target))


def _take_emptied(staging: Path, target: Path) -> bool:
    """Finish a replacement by removal; returns False where something cannot be removed.

    A dataset at `target` is either the old one, of which nothing was removed yet, or the new one.
    """
    found = look(target)
    if not (found and found.is_dataset):
        if not remove_tree(target):
            return False
        if _is_complete(staging):
            rename(staging, target)
            sync_folder(target.parent)
    emptied_path(target).unlink()
    return True
