"""Inputs, and what their datasets are called. Only names are looked at here, never files."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omezarr_proc.app.places import named_place
from omezarr_proc.app.sequence import FileSequence
from omezarr_proc.model.address import Place, absolute
from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.model.text import shown

# BigTIFF's endings (as Bio-Formats writes them) and those of slide scanners that write TIFF; the longer first.
PLAIN_ENDINGS = (".tiff", ".tif", ".btf", ".tf8", ".tf2", ".svs", ".qptiff", ".ndpi", ".scn")
ENDINGS = tuple(f".ome{ending}" for ending in PLAIN_ENDINGS[:5]) + PLAIN_ENDINGS


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


def tiff_ending(name: str) -> str:
    """Return the TIFF ending of a file name, as it is written there; empty if there is none or nothing before it."""
    length = next((len(ending) for ending in ENDINGS if name.lower().endswith(ending) and len(name) > len(ending)), 0)
    return name[len(name) - length :]


def dataset_path(relative: Path, apart: str = "") -> Path:
    """Where a dataset of an input goes, relative to OUTPUT_DIR: `a.ome.tiff` -> `a.ome.zarr`.

    apart  what tells it from others of the same input: `series2` -> `a.series2.ome.zarr`

    Only TIFF endings are taken off, so that files that were named by the user with other endings keep theirs apart.
    """
    ending = tiff_ending(relative.name)
    stem = relative.name[: len(relative.name) - len(ending)]
    return relative.with_name(f"{stem}.{apart}.ome.zarr" if apart else f"{stem}.ome.zarr")


def natural_key(path: Path) -> tuple[tuple[tuple[str | int, ...], ...], str]:
    """Sorts `s2` before `s10`, whatever the case; ties are broken by the exact text."""
    parts = (re.split(r"([0-9]+)", part.casefold()) for part in path.parts)
    return tuple(tuple(int(piece) if n % 2 else piece for n, piece in enumerate(part)) for part in parts), str(path)


def named(files: Sequence[str]) -> list[Input]:
    """Take the files that the user named, in that order, each once. Whether they can be read shows when they are converted."""
    paths = dict.fromkeys(map(named_place, files))
    return paired(Input(path, Path(path.name or "input")) for path in paths)


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
