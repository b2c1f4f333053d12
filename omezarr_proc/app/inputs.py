"""Which files are converted, and what their datasets are called. Only names are looked at here, never contents.

INPUT_DIR, a folder or a place in an object store, is searched with its subfolders. Links to files count as files; links to folders are
followed after all real folders, and no folder is searched twice, so loops end and a file keeps the name of its real place. Hidden files
and folders, Zarr datasets and (of a folder) OUTPUT_DIR are left out. A dataset keeps its input's relative folder.
"""

import os
import re
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from loguru import logger

from omezarr_proc.app.sequence import FileSequence, matched, name_of, proposals
from omezarr_proc.config.settings import Settings
from omezarr_proc.host import mounts
from omezarr_proc.host.remote import PASSING, require, store_error, walk
from omezarr_proc.model.address import READABLE, Address, Place, absolute, place
from omezarr_proc.model.errors import (
    InputError,
    InTheWayError,
    MissingFolderError,
    NothingToConvertError,
    SettingsError,
    UnreadableInputError,
)
from omezarr_proc.model.text import shown

# BigTIFF's endings (as Bio-Formats writes them) and those of slide scanners that write TIFF; the longer first.
PLAIN_ENDINGS = (".tiff", ".tif", ".btf", ".tf8", ".tf2", ".svs", ".qptiff", ".ndpi", ".scn")
ENDINGS = tuple(f".ome{ending}" for ending in PLAIN_ENDINGS[:5]) + PLAIN_ENDINGS
MENTIONED = 5  # names in the message that no TIFF was found


@dataclass(frozen=True)
class Input:
    """One file to convert.

    relative  its place below INPUT_DIR (only the name for a file that was named by the user)
    sequence  the files that it stands for, where they are one image
    twin      another input that would become the same dataset: neither is converted
    """

    path: Place
    relative: Path
    twin: Place | None = None
    sequence: FileSequence | None = None


@dataclass
class Search:
    """What a folder holds: the TIFFs in natural order, the names of all else, and what could not be looked at."""

    inputs: list[Input] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def dataset_path(relative: Path, apart: str = "") -> Path:
    """Where a dataset of an input goes, relative to OUTPUT_DIR: `a.ome.tiff` -> `a.ome.zarr`.

    apart  what tells it from others of the same input: `series2` -> `a.series2.ome.zarr`

    Only TIFF endings are taken off, so that files that were named by the user with other endings keep theirs apart.
    """
    ending = tiff_ending(relative.name)
    stem = relative.name[: len(relative.name) - len(ending)]
    return relative.with_name(f"{stem}.{apart}.ome.zarr" if apart else f"{stem}.ome.zarr")


def tiff_ending(name: str) -> str:
    """Return the TIFF ending of a file name, as it is written there; empty if there is none or nothing before it."""
    length = next((len(ending) for ending in ENDINGS if name.lower().endswith(ending) and len(name) > len(ending)), 0)
    return name[len(name) - length :]


def natural_key(path: Path) -> tuple[tuple[tuple[str | int, ...], ...], str]:
    """Sorts `s2` before `s10`, whatever the case; ties are broken by the exact text."""
    parts = (re.split(r"([0-9]+)", part.casefold()) for part in path.parts)
    return tuple(tuple(int(piece) if n % 2 else piece for n, piece in enumerate(part)) for part in parts), str(path)


def collect(settings: Settings, files: Sequence[str] = (), *, create_output: bool) -> Iterable[Input]:
    """Return the inputs of a run: the named files or else all below INPUT_DIR. Raises SettingsError before any work if it cannot begin.

    An object store is searched, and the error raised, when the inputs are iterated: who has made a request must not be forked.
    """
    require(settings.output_dir)
    if files:
        inputs: Iterable[Input] = named(files)
    else:
        assert settings.input_dir is not None  # Settings.load has seen to it
        require(settings.input_dir)
        inputs = _found(settings.input_dir, settings.output_dir)
        if not isinstance(settings.input_dir, Address):
            inputs = list(inputs)
    check_output(settings.output_dir, create=create_output)
    if create_output and (doubt := output_doubt(settings.output_dir)):
        logger.warning(doubt)
    if settings.sequence in ("", "auto"):
        return inputs
    joined = with_sequences(inputs, settings.sequence)
    return joined if isinstance(settings.input_dir, Address) and not files else list(joined)


def with_sequences(inputs: Iterable[Input], template: str) -> Iterator[Input]:
    """The inputs, where those of each folder that are named like `template` are one. Raises NothingToConvertError where none is."""
    entries = list(inputs)
    found: dict[str, list[tuple[Input, dict[str, str]]]] = {}
    for entry in entries:
        texts = matched(template, entry.relative.name)
        if texts is not None:
            found.setdefault(os.path.dirname(str(entry.path)), []).append((entry, texts))
    if not found:
        raise NothingToConvertError(f"no input is named like SEQUENCE={shown(template)}")
    joined = {
        members[0][0]: replace(
            members[0][0],
            relative=members[0][0].relative.with_name(name_of(template)),
            sequence=FileSequence(template, tuple((entry.path, tuple(texts.items())) for entry, texts in members)),
        )
        for members in found.values()
    }
    others = {entry for members in found.values() for entry, _ in members[1:]}
    yield from paired(joined.get(entry, entry) for entry in entries if entry not in others)


def proposed(inputs: Iterable[Input]) -> Iterator[str]:
    """What SEQUENCE could join, as lines for a person."""
    folders: dict[str, list[str]] = {}
    for entry in inputs:
        folders.setdefault(os.path.dirname(str(entry.path)), []).append(entry.relative.name)
    for folder, names in folders.items():
        for template, count in proposals(names):
            yield f"SEQUENCE={shown(template)} would join {count} files of {shown(folder)}"


def _found(input_dir: Place, output_dir: Place) -> Iterator[Input]:
    search = find(input_dir, output_dir)
    for where in search.unreadable:
        logger.warning(f"left out, since it cannot be read: {where}")
    yield from search.inputs


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
    """The TIFFs below a folder in natural order, without links that lead out of it, and what cannot be read."""
    inside = folder.resolve()
    own = [entry for entry in _search(folder, folder).inputs if Path(os.path.realpath(entry.path)).is_relative_to(inside)]
    return sorted(own, key=lambda entry: natural_key(entry.relative))


def named(files: Sequence[str]) -> list[Input]:
    """Take the files that the user named, in that order, each once. Whether they can be read shows when they are converted."""
    paths = dict.fromkeys(map(named_place, files))
    return paired(Input(path, Path(path.name or "input")) for path in paths)


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
            raise UnreadableInputError("is a folder: name files, or give it as INPUT_DIR", source=path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInputError("is not a file", source=path)
        if not status.st_size:
            raise InputError("is empty", source=path, hint="copy it again from where it was made")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UnreadableInputError(f"cannot be read: {error.strerror}", source=path) from None


def paired(inputs: Iterable[Input]) -> list[Input]:
    """The inputs, where two or more would become one dataset each with the name of another of them.

    Names that differ only in case or in Unicode normal form count as one on every file system: the result must not depend on where
    OUTPUT_DIR lies, and a copy of it on macOS or Windows must not lose an image.
    """
    entries = list(inputs)
    alike: dict[str, list[Input]] = {}
    for entry in entries:
        alike.setdefault(_dataset_key(entry), []).append(entry)
    twins = {entry: others[(n + 1) % len(others)].path for others in alike.values() if len(others) > 1 for n, entry in enumerate(others)}
    return [replace(entry, twin=twins.get(entry)) for entry in entries]


def check_twin(entry: Input) -> None:
    """Raise InTheWayError for an input that would become the same dataset as another."""
    if entry.twin is not None:
        raise InTheWayError(
            f"would become {shown(dataset_path(entry.relative))} as {shown(absolute(str(entry.twin)))} would, so neither is converted",
            source=absolute(str(entry.path)),
            hint="rename one of them (upper and lower case count as the same)",
        )


def _dataset_key(entry: Input) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(dataset_path(entry.relative))).casefold())


def check_output(output_dir: Place, *, create: bool) -> None:
    """Make sure that datasets can be written to `output_dir`, making it if asked to. Raises SettingsError."""
    if isinstance(output_dir, Address):  # whether it can be written to shows with the first lock
        return
    try:
        if create:
            output_dir.mkdir(parents=True, exist_ok=True)
        existing = next(path for path in (output_dir.absolute(), *output_dir.absolute().parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise NotADirectoryError(20, f"{shown(existing)} is not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(13, _why_not_writable(existing))
    except FileExistsError:
        raise MissingFolderError(f"OUTPUT_DIR {shown(output_dir)} is not a folder") from None
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
