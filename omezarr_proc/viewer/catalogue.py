"""The OME-Zarr datasets below a folder, as the viewer's list names them."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a dataset consists of: documents, the input's metadata, and chunks by the keys of Zarr v3 (c/0/1, c for no axis) and v2 (0.1 or 0/1).
FILE = re.compile(r"zarr\.json|\.z(attrs|group|array|metadata)|METADATA\.ome\.xml|c|(c\.)?\d+(\.\d+)*", re.ASCII)


@dataclass(frozen=True)
class Listed:
    """One dataset: its path below the folder (empty when that is one itself) and its Zarr format, 2 or 3.

    `labels` are the names of its label images, `preview` tells whether there is a picture beside it.
    """

    path: str
    zarr_format: int
    labels: tuple[str, ...] = ()
    preview: bool = False


def find_datasets(folder: Path) -> Iterator[Listed]:
    """Yield every group with `multiscales`, by path. Hidden folders (unfinished conversions) and links to folders are not entered."""
    for place, folders, _ in os.walk(folder):
        zarr_format = multiscales_format(Path(place))
        if zarr_format is None:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
        else:
            folders.clear()
            path = os.path.relpath(place, folder)
            beside = path != os.curdir and Path(f"{place}.png").is_file()
            yield Listed("" if path == os.curdir else path, zarr_format, label_names(Path(place)), beside)


def label_names(dataset: Path) -> tuple[str, ...]:
    """Return the names of the label images that a dataset lists (https://ngff.openmicroscopy.org/0.5/index.html#labels-md)."""
    attributes = _read(dataset / "labels" / "zarr.json").get("attributes") or _read(dataset / "labels" / ".zattrs")
    stated = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
    names = stated.get("labels") if isinstance(stated, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def multiscales_format(folder: Path) -> int | None:
    """Return the Zarr format of the image that `folder` is, None if it is none (or its metadata cannot be read)."""
    attributes = _read(folder / "zarr.json").get("attributes")
    if isinstance(attributes, dict):
        return 3 if "multiscales" in attributes or "multiscales" in (attributes.get("ome") or {}) else None
    return 2 if "multiscales" in _read(folder / ".zattrs") else None


def belongs_to_dataset(folder: Path, parts: Sequence[str]) -> bool:
    """Return whether the file `parts` below `folder` is of a dataset that `find_datasets` finds there, or the preview beside one.

    Raises OSError for a path that cannot be looked up.
    """
    *folders, file = parts
    if any(part.startswith(".") for part in folders):
        return False
    if file.endswith(".png") and not file.startswith("."):
        return multiscales_format(folder.joinpath(*folders, file.removesuffix(".png"))) is not None
    return FILE.fullmatch(file) is not None and any(
        multiscales_format(folder.joinpath(*folders[:depth])) is not None for depth in range(len(folders) + 1)
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
