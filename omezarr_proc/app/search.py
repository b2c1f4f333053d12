"""The search for TIFFs below a folder or a place in an object store, subfolders included. Only names are looked at, never contents.

Links to files count as files; links to folders are followed after all real folders, and no folder is searched twice, so loops end and a
file keeps the name of its real place. Hidden files and folders, Zarr datasets and (of a folder) OUTPUT_DIR are left out.
"""

import os
import stat
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from omezarr_proc.app.inputs import PLAIN_ENDINGS, Input, natural_key, paired, tiff_ending
from omezarr_proc.host.remote import walk
from omezarr_proc.host.store_errors import PASSING, store_error
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import MissingFolderError, NothingToConvertError
from omezarr_proc.model.text import shown

MENTIONED = 5  # names in the message that no TIFF was found


@dataclass
class Search:
    """What a folder holds: the TIFFs in natural order, the names of all else, and what could not be looked at."""

    inputs: list[Input] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find(input_dir: Place, output_dir: Place) -> Search:
    """All TIFFs below `input_dir`. Raises SettingsError when it cannot be searched or holds none, saying what is there."""
    if isinstance(input_dir, Address):
        search = _search_store(input_dir)
    elif input_dir.is_dir():
        search = _search(input_dir, output_dir)
    else:
        raise MissingFolderError(f"INPUT_DIR {shown(input_dir)} {'is not a folder' if input_dir.exists() else 'does not exist'}")
    if not search.inputs:
        if search.unreadable and search.unreadable[0].startswith(shown(input_dir) + ":"):
            raise MissingFolderError(f"INPUT_DIR {search.unreadable[0]}")
        raise NothingToConvertError(f"no TIFF ({' '.join(PLAIN_ENDINGS)}) below INPUT_DIR {shown(input_dir)}: {_what_is_there(search)}")
    search.inputs.sort(key=lambda entry: natural_key(entry.relative))
    search.inputs = paired(search.inputs)
    return search


def tiffs_in(folder: Path) -> list[Input]:
    """The TIFFs below a folder in natural order, without those that a link leads out of it to, and without folders that cannot be read."""
    inside = folder.resolve()
    own = [entry for entry in _search(folder, folder).inputs if Path(os.path.realpath(entry.path)).is_relative_to(inside)]
    return sorted(own, key=lambda entry: natural_key(entry.relative))


def _search(input_dir: Path, output_dir: Place) -> Search:
    search = Search()
    start = input_dir.stat()
    searched = {_identity(output_dir.stat())} - {_identity(start)} if isinstance(output_dir, Path) and output_dir.is_dir() else set()
    folders = deque([(input_dir, Path())])
    while folders:
        folder, relative = folders.popleft()
        try:
            identity = _identity(folder.stat())
            if identity in searched:
                continue
            searched.add(identity)
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _sort_in(entry, relative, search, folders)
        except OSError as error:
            search.unreadable.append(f"{shown(folder)}: {error.strerror}")
    return search


def _search_store(address: Address) -> Search:
    """What lies below an address. Raises MissingFolderError where that cannot be listed, StoreUnavailableError where nobody answers."""
    search = Search()
    try:
        for found, relative in walk(address, lambda name: not name.startswith(".") and not name.lower().endswith(".zarr")):
            if not found.name.startswith("."):
                if tiff_ending(found.name):
                    search.inputs.append(Input(found, Path(relative)))
                else:
                    search.others.append(relative)
    except OSError as error:
        if error.errno in PASSING:
            raise store_error("cannot be listed", error, address) from None
        raise MissingFolderError(f"INPUT_DIR {shown(address)} cannot be listed: {error.strerror}") from None
    return search


def _sort_in(entry: os.DirEntry[str], relative: Path, search: Search, folders: deque[tuple[Path, Path]]) -> None:
    where = relative / entry.name
    mode = _mode(Path(entry.path))
    if entry.name.startswith("."):
        return
    if stat.S_ISDIR(mode) and not entry.name.lower().endswith(".zarr"):
        if entry.is_symlink():
            folders.append((Path(entry.path), where))
        else:
            folders.appendleft((Path(entry.path), where))
    elif tiff_ending(entry.name) and (stat.S_ISREG(mode) or not mode):
        # a broken link counts too: it fails in its turn and is reported, where leaving it out would lose an image silently
        search.inputs.append(Input(Path(entry.path), where))
    else:
        search.others.append(str(where))


def _mode(path: Path) -> int:
    """Return the file type and permissions, links followed; 0 where there is nothing at the end of the links."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _what_is_there(search: Search) -> str:
    hint = f"not readable: {', '.join(search.unreadable[:MENTIONED])}" if search.unreadable else ""
    if not search.others:
        return hint or "it is empty"
    endings = Counter(Path(name).suffix.lower() or "no ending" for name in search.others)
    counts = ", ".join(f"{count} {shown(ending)}" for ending, count in endings.most_common(MENTIONED))
    names = ", ".join(shown(name) for name in search.others[:MENTIONED])
    more = ", ..." if len(search.others) > MENTIONED else ""
    return f"there are {counts} ({names}{more}){hint and f'; {hint}'}"
