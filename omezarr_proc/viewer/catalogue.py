"""The OME-Zarr datasets below a folder, as the viewer's list names them."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Listed:
    """One dataset: its path below the folder (empty when the folder is a dataset itself) and its Zarr format, 2 or 3."""

    path: str
    zarr_format: int


def find_datasets(folder: Path) -> Iterator[Listed]:
    """Yield every group with `multiscales`, by path. Hidden folders (unfinished conversions) and links to folders are not entered."""
    for place, folders, _ in os.walk(folder):
        zarr_format = multiscales_format(Path(place))
        if zarr_format is None:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
        else:
            folders.clear()
            path = os.path.relpath(place, folder)
            yield Listed("" if path == os.curdir else path, zarr_format)


def multiscales_format(folder: Path) -> int | None:
    """Return the Zarr format of the image that `folder` is, None if it is none (or its metadata cannot be read)."""
    attributes = _read(folder / "zarr.json").get("attributes")
    if isinstance(attributes, dict):
        return 3 if "multiscales" in attributes or "multiscales" in (attributes.get("ome") or {}) else None
    return 2 if "multiscales" in _read(folder / ".zattrs") else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
