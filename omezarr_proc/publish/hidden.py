"""The hidden files beside a dataset NAME while it is made or replaced. When all is done none of them is left.

    .NAME.lock      held by the one run that works on NAME (.NAME.owner where the file system has no locks)
    .NAME.record    what is finished of the dataset in the making; the first to appear and the last to go: only where it begins with MAGIC
                    are the others ours to change or remove
    .NAME.partial   the dataset in the making
    .NAME.aside     the old dataset between the two renames of a replacement, where the file system cannot exchange
    .NAME.old-N     a replaced dataset, to be removed
    .NAME.emptied   empty: the old dataset, which cannot be renamed, is removed where it lies; without root metadata it is a remainder
    .NAME.whole     the new dataset while it is moved in place, where the dataset's folder cannot be renamed (see `by_root_last`)

A dataset whose folder cannot be renamed has them inside: for these NAME is INSIDE, which no dataset in a folder can have.
Only the run that has the lock touches them.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from omezarr_proc.store.opening import open_file

MAGIC = b"omezarr_proc: a conversion in progress. The hidden files of this dataset go when it is run again.\n"

INSIDE = "ome.zarr"
IN_STORE = ".omezarr_proc/"  # what is hidden of a dataset in an object store lies below it (see `in_store`)

_HIDDEN = re.compile(r"\.((?:.+\.)?ome\.zarr)\.(lock|owner|record|partial|aside|emptied|whole|old-[0-9]+)", re.DOTALL)


def inside(folder: Path) -> Path:
    """The target that stands for the dataset `folder` where its hidden files are within it."""
    return folder / INSIDE


def dataset_of(target: Path) -> Path:
    """The dataset that a target stands for: itself, or its folder (see `inside`)."""
    return target.parent if target.name == INSIDE else target


def lock_path(target: Path) -> Path:
    """The file whose lock is the right to work on `target`."""
    return _beside(target, "lock")


def owner_path(target: Path) -> Path:
    """The file that is the right to work on `target`, where there are no locks."""
    return _beside(target, "owner")


def record_path(target: Path) -> Path:
    """The record of the conversion into `target`."""
    return _beside(target, "record")


def staging_path(target: Path) -> Path:
    """The dataset `target` in the making."""
    return _beside(target, "partial")


def aside_path(target: Path) -> Path:
    """The old dataset `target` in the middle of a replacement."""
    return _beside(target, "aside")


def emptied_path(target: Path) -> Path:
    """The mark that what is left of `target` is ours to remove."""
    return _beside(target, "emptied")


def whole_path(target: Path) -> Path:
    """The dataset `target` while its parts are moved in place."""
    return _beside(target, "whole")


def free_old_path(target: Path) -> Path:
    """A name that is not taken yet for the replaced dataset `target`."""
    number = 0
    while os.path.lexists(path := _beside(target, f"old-{number}")):
        number += 1
    return path


def old_paths(target: Path) -> list[Path]:
    """What is left of replaced datasets `target`. Raises OSError."""
    return [path for name, role, path in hidden_files(target.parent) if name == target.name and role.startswith("old-")]


def hidden_files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield (dataset name, role, path) for all hidden files in `folder` that are named like ours. Raises OSError."""
    for name in sorted(os.listdir(folder)):
        if match := _HIDDEN.fullmatch(name):
            yield match[1], match[2], folder / name


def is_ours(target: Path) -> bool:
    """Whether the hidden files of `target` were made by this program. Raises OSError where its record is there and cannot be read."""
    path = record_path(target)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            with open(open_file(path), "rb") as file:
                return file.read(len(MAGIC)) == MAGIC
    return False


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")
