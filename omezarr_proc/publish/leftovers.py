"""What is hidden of a dataset and of no more use is removed, whichever way it is published."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from loguru import logger

from omezarr_proc.host.faults import output_error
from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.hidden import (
    MAGIC,
    aside_path,
    emptied_path,
    hidden_names,
    is_ours,
    old_paths,
    part_files,
    part_target,
    record_path,
    staging_path,
    whole_path,
)
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store.opening import open_file, read_file
from omezarr_proc.store.remove import remove_tree


def discard(target: Path, deadline: float | None = None) -> bool:
    """Remove all that is hidden of a dataset that needs no more work; returns whether nothing is left. The caller holds the lock."""
    try:
        if is_ours(target) and os.path.lexists(staging := staging_path(target)):
            with open(open_file(record_path(target), os.O_RDWR), "r+b") as file:
                file.truncate(len(MAGIC))
                os.fsync(file.fileno())  # half of the staging folder must not be taken for the whole
            remove_tree(staging, deadline)
    except OSError:
        return False
    return clear(target, deadline)


def clear(target: Path, deadline: float | None, names: Iterable[str] | None = None) -> bool:
    """Remove replaced datasets, and the record when nothing else is hidden; returns whether nothing is. The caller holds the lock.

    names  those of its folder since it was locked, where they are known
    """
    try:
        names = hidden_names(target.parent) if names is None else names
        if not is_ours(target):
            return not old_paths(target, names)
        left = [path for path in old_paths(target, names) if not remove_tree(path, deadline)]
        for path in left:
            late = deadline is not None and time.monotonic() > deadline
            reason = "since time is up" if late else "since its files may not be removed, or are open elsewhere"
            logger.warning(f"{path}: this replaced dataset is not removed, {reason}: the next run tries again, or remove it yourself")
        if left or any(os.path.lexists(path(target)) for path in (staging_path, aside_path, emptied_path, whole_path)):
            return False
        forget_parts(target, names)
        record_path(target).unlink()
    except OSError:
        return False  # the dataset is published; the next run tries again
    return True


def forget_parts(target: Path, names: Iterable[str] | None = None) -> None:
    """Remove what parts have left: their records, and the locks that nobody has. The caller holds the dataset's lock. Raises OSError."""
    for part, role, path in part_files(target, names):
        if role == "record":
            path.unlink(missing_ok=True)
        else:
            with contextlib.suppress(OutputError), Lock(part_target(target, part), patience=0):
                pass  # a lock goes when it is left


def refuse_parts(target: Path) -> None:
    """Raise LockedError where a part works on its share of `target`. The caller holds the dataset's lock."""
    try:
        parts = {part for part, role, _ in part_files(target) if role != "record"}
    except OSError as error:
        raise output_error("cannot be listed", error, target.parent) from error
    for part in sorted(parts):
        with Lock(part_target(target, part), patience=0):
            pass


def forget_unbegun(target: Path) -> None:
    """Remove a record whose maker was killed before it had begun."""
    record = record_path(target)
    with contextlib.suppress(OSError):
        if MAGIC.startswith(read_file(record)) and not os.path.lexists(staging_path(target)):
            record.unlink()
