"""The OME-Zarr datasets below a folder, or a prefix of an object store, as the viewer's list names them."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omezarr_proc.model.address import STORES, Address, Place
from omezarr_proc.store.places import objects_at

# What a dataset consists of: documents, the input's metadata, and chunks by the keys of Zarr v3 (c/0/1, c for no axis) and v2 (0.1 or 0/1).
FILE = re.compile(r"zarr\.json|\.z(attrs|group|array|metadata)|METADATA\.ome\.xml|c|(c\.)?\d+(\.\d+)*", re.ASCII)

_MARKS = frozenset({"zarr.json", ".zattrs"})


@dataclass(frozen=True)
class Listed:
    """One dataset: its path below the folder (empty when that is one itself) and its Zarr format, 2 or 3.

    `labels` are the names of its label images, `preview` tells whether there is a picture beside it.
    """

    path: str
    zarr_format: int
    labels: tuple[str, ...] = ()
    preview: bool = False


def find_datasets(place: Place) -> Iterator[Listed]:
    """Yield every group with `multiscales`, by path. Hidden folders (unfinished conversions) and links to folders are not entered."""
    todo: list[tuple[str, Sequence[str]]] = [("", ())]
    while todo:
        path, beside = todo.pop()
        here = place / path if path else place
        folders, files = _names(here)
        zarr_format = multiscales_format(here) if _MARKS & set(files) or not _can_be_listed(here) else None
        if zarr_format is None:
            inner = [f"{path}/{name}".lstrip("/") for name in sorted(folders, reverse=True) if not name.startswith(".")]
            todo += [(found, files) for found in inner]
        else:
            yield Listed(path, zarr_format, label_names(here), f"{path.rpartition('/')[2]}.png" in beside)


def _names(place: Place) -> tuple[list[str], list[str]]:
    """The names of the folders in a place that are no links, and those of its files; none of what cannot be looked at."""
    try:
        if isinstance(place, Address):
            return objects_at(place).names()
        folders, files = objects_at(place).names()
        return [name for name in folders if not (place / name).is_symlink()], files
    except OSError:
        return [], []


def _can_be_listed(place: Place) -> bool:
    return not isinstance(place, Address) or place.scheme in STORES


def label_names(dataset: Place) -> tuple[str, ...]:
    """Return the names of the label images that a dataset lists (https://ngff.openmicroscopy.org/0.5/index.html#labels-md)."""
    attributes = _read(dataset / "labels", "zarr.json").get("attributes") or _read(dataset / "labels", ".zattrs")
    stated = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
    names = stated.get("labels") if isinstance(stated, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def multiscales_format(place: Place) -> int | None:
    """Return the Zarr format of the image that a place holds, None if it is none (or its metadata cannot be read)."""
    return _format(place, "multiscales")


def dataset_format(place: Place) -> int | None:
    """Return the Zarr format of the image or plate that a place holds, None if it is neither."""
    return _format(place, "multiscales", "plate")


def _format(place: Place, *kinds: str) -> int | None:
    attributes = _read(place, "zarr.json").get("attributes")
    if isinstance(attributes, dict):
        return 3 if any(kind in attributes or kind in (attributes.get("ome") or {}) for kind in kinds) else None
    attributes = _read(place, ".zattrs")
    return 2 if any(kind in attributes for kind in kinds) else None


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
