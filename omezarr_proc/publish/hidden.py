"""The hidden files beside a dataset NAME while it is made or replaced. When all is done none of them is left.

    .NAME.lock      held by the one run that works on NAME (.NAME.owner where the file system has no locks)
    .NAME.record    what is finished of the dataset in the making; the first to appear and the last to go: only where it begins with MAGIC
                    are the others ours to change or remove
    .NAME.partial   the dataset in the making
    .NAME.part-3-of-16.record, .lock, .owner
                    what is finished of the share of a part of a run on many machines (see `shares`), and the right to work on that
    .NAME.aside     the old dataset between the two renames of a replacement, where the file system cannot exchange
    .NAME.old-N     a replaced dataset, to be removed
    .NAME.emptied   empty: the old dataset, which cannot be renamed, is removed where it lies; without root metadata it is a remainder
    .NAME.whole     the new dataset while it is moved in place, where the dataset's folder cannot be renamed (see `by_root_last`)

A dataset whose folder cannot be renamed has them inside: for these NAME is INSIDE, which no dataset in a folder can have.
Only the run that has the lock touches them, but for parts: these put chunks into the dataset in the making, each those of its share.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from omezarr_proc.model.part import Part
from omezarr_proc.store.opening import open_file

MAGIC = b"omezarr_proc: a conversion in progress. The hidden files of this dataset go when it is run again.\n"

INSIDE = "ome.zarr"
IN_STORE = ".omezarr_proc/"  # what is hidden of a dataset in an object store lies below it (see `in_store`)

_HIDDEN = re.compile(
    r"\.((?:.+\.)?ome\.zarr)\.(lock|owner|record|partial|aside|emptied|whole|old-[0-9]+"
    r"|part-[1-9][0-9]*-of-[1-9][0-9]*\.(?:lock|owner|record))",
    re.DOTALL,
)
_PART = re.compile(r"part-([0-9]+)-of-([0-9]+)\.(lock|owner|record)")
_OF_PART = re.compile(r"(.+)\.part-([0-9]+)-of-([0-9]+)", re.DOTALL)


def inside(folder: Path) -> Path:
    """The target that stands for the dataset `folder` where its hidden files are within it."""
    return folder / INSIDE


def dataset_of(target: Path) -> Path:
    """The dataset that a target stands for: itself, or its folder (see `inside`)."""
    if match := _OF_PART.fullmatch(target.name):
        target = target.with_name(match[1])
    return target.parent if target.name == INSIDE else target


def part_of(target: Path) -> Part | None:
    """The part whose share of a dataset a target stands for; None where it stands for the dataset."""
    match = _OF_PART.fullmatch(target.name)
    return Part(int(match[2]), int(match[3])) if match else None


def part_target(target: Path, part: Part) -> Path:
    """What stands for the share of a part: its lock and its record lie beside those of the dataset."""
    return target.with_name(f"{target.name}.part-{part.number}-of-{part.of}")


def part_files(target: Path, names: Iterable[str] | None = None) -> list[tuple[Part, str, Path]]:
    """The part, role ("lock", "owner" or "record") and path of each hidden file of a part of `target`, as `old_paths`. Raises OSError."""
    of_target = ((_PART.fullmatch(role), path) for role, path in _hidden_of(target, names))
    return [(Part(int(match[1]), int(match[2])), match[3], path) for match, path in of_target if match]


def is_of_part(role: str) -> bool:
    """Whether a hidden file with this role is of a part."""
    return _PART.fullmatch(role) is not None


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
    """The dataset `target` while its children are moved in place."""
    return _beside(target, "whole")


def free_old_path(target: Path) -> Path:
    """A name that is not taken yet for the replaced dataset `target`."""
    number = 0
    while os.path.lexists(path := _beside(target, f"old-{number}")):
        number += 1
    return path


def hidden_names(folder: Path) -> list[str]:
    """The names in a folder among which all hidden files are. Raises OSError. Of thousands of datasets this takes milliseconds."""
    return [name for name in os.listdir(folder) if name.startswith(".")]


def old_paths(target: Path, names: Iterable[str] | None = None) -> list[Path]:
    """What is left of replaced datasets `target`; `names`: those of its folder, where they are known. Raises OSError."""
    return [path for role, path in _hidden_of(target, names) if role.startswith("old-")]


def _hidden_of(target: Path, names: Iterable[str] | None) -> Iterator[tuple[str, Path]]:
    """(role, path) of all hidden files of `target`. Raises OSError. Beside it there may be thousands of others: each image looks here."""
    begin = f".{target.name}."
    names = hidden_names(target.parent) if names is None else names
    for name in sorted(name for name in names if name.startswith(begin)):
        if (match := _HIDDEN.fullmatch(name)) and match[1] == target.name:
            yield match[2], target.parent / name


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
