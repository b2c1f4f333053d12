"""The OME-Zarr datasets below a folder, or a prefix of an object store, as the viewer's list names them."""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omezarr_proc.model.address import STORES, Address, Place
from omezarr_proc.store.places import objects_at

# What a dataset consists of: documents, the input's metadata, and chunks by the keys of Zarr v3 (c/0/1, c for no axis) and v2 (0.1 or 0/1).
FILE = re.compile(r"zarr\.json|\.z(attrs|group|array|metadata)|METADATA\.ome\.xml|c|(c\.)?\d+(\.\d+)*", re.ASCII)

_TOGETHER = 16  # folders that are looked at at once
_MARKS = frozenset({"zarr.json", ".zattrs"})


@dataclass(frozen=True)
class Listed:
    """One dataset: its path below the folder (empty when that is one itself) and its Zarr format, 2 or 3.

    `labels` are the names of its label images, `preview` tells whether there is a picture beside it, `plate` whether it is a well plate.
    """

    path: str
    zarr_format: int
    labels: tuple[str, ...] = ()
    preview: bool = False
    plate: bool = False


def find_datasets(place: Place, most: int) -> list[Listed]:
    """Every group with `multiscales`, and every plate without its fields, by path; once there are `most`, no deeper folder is looked at.

    Hidden folders (unfinished conversions) and links to folders are not entered. The folders of one depth are looked at side by side,
    since a store or a mount answers in milliseconds.
    """
    found: list[Listed] = []
    todo: list[tuple[str, Sequence[str]]] = [("", ())]
    with ThreadPoolExecutor(_TOGETHER) as pool:
        while todo and len(found) < most:
            looked_at = list(pool.map(lambda one: _look(place, *one), todo))
            found += [listed for listed, _ in looked_at if listed is not None]
            todo = [inner for _, inside in looked_at for inner in inside]
    return sorted(found, key=lambda listed: listed.path.split("/"))[:most]


def _look(place: Place, path: str, beside: Sequence[str]) -> tuple[Listed | None, list[tuple[str, Sequence[str]]]]:
    """What a folder is, `beside` which there are these files; where it is no dataset, the folders in it, each with the files beside it."""
    here = place / path if path else place
    folders, files = _names(here)
    zarr_format, kind = _stated(here) if _MARKS & set(files) or not _can_be_listed(here) else (None, "")
    if zarr_format is None:
        inner = (name for name in folders if not name.startswith(".") and not _is_link(here / name))
        return None, [(f"{path}/{name}".lstrip("/"), files) for name in inner]
    may_have_labels = kind == "multiscales" and ("labels" in folders or not _can_be_listed(here))
    labels = label_names(here) if may_have_labels else ()
    return Listed(path, zarr_format, labels, f"{path.rpartition('/')[2]}.png" in beside, kind == "plate"), []


def _names(place: Place) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in a place; none of what cannot be looked at."""
    try:
        return objects_at(place).names()
    except OSError:
        return [], []


def _is_link(place: Place) -> bool:
    return isinstance(place, Path) and place.is_symlink()


def _can_be_listed(place: Place) -> bool:
    return not isinstance(place, Address) or place.scheme in STORES


def label_names(dataset: Place) -> tuple[str, ...]:
    """Return the names of the label images that a dataset lists (https://ngff.openmicroscopy.org/0.5/index.html#labels-md)."""
    attributes = _read(dataset / "labels", "zarr.json").get("attributes") or _read(dataset / "labels", ".zattrs")
    stated = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
    names = stated.get("labels") if isinstance(stated, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def dataset_format(place: Place) -> int | None:
    """Return the Zarr format of the image or plate that a place holds, None if it is neither."""
    return _stated(place)[0]


def _stated(place: Place) -> tuple[int | None, str]:
    """The Zarr format of the image or plate that a place holds, and which of both it is; (None, "") where it is neither."""
    found, attributes = 3, _read(place, "zarr.json").get("attributes")
    if not isinstance(attributes, dict):
        found, attributes = 2, _read(place, ".zattrs")
    ome = attributes.get("ome") if found == 3 else None
    kind = next((kind for kind in ("multiscales", "plate") if kind in attributes or (isinstance(ome, dict) and kind in ome)), "")
    return (found if kind else None), kind


def belongs_to_dataset(place: Place, parts: Sequence[str], format_of: Callable[[Place], int | None] = dataset_format) -> bool:
    """Return whether the file `parts` below `place` is of an image or plate, or the preview beside one.

    format_of  what `dataset_format` says

    Raises OSError for a path that cannot be looked up.
    """
    *folders, file = parts
    if any(part.startswith(".") for part in folders):
        return False
    if file.endswith(".png") and not file.startswith("."):
        return format_of(_below(place, (*folders, file.removesuffix(".png")))) is not None
    above = (_below(place, folders[:depth]) for depth in range(len(folders) + 1))
    return FILE.fullmatch(file) is not None and any(format_of(folder) is not None for folder in above)


def _below(place: Place, parts: Sequence[str]) -> Place:
    return place / "/".join(parts) if parts else place


def _read(place: Place, name: str) -> dict[str, Any]:
    try:
        found = json.loads(objects_at(place).get(name))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
