"""What the page is told of each entry of its list: a name to show, an address relative to the page, what it is."""

import os
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from omezarr_proc.model.errors import ProcError
from omezarr_proc.viewer.catalogue import Listed
from omezarr_proc.viewer.served import Source


def stored_entry(found: Listed, mount: str, title: str) -> dict[str, Any]:
    """Of a dataset below the folder that is served at `mount` (`/data/`, or `/data/NAME/` of a dataset alone) and called `title`."""
    address = (mount + quote(os.fsencode(found.path))).strip("/")
    return {
        "name": printable(found.path or title),
        "url": address,
        "zarr_format": found.zarr_format,
        "labels": [printable(name) for name in found.labels],
        "preview": f"{address}.png" if found.preview else None,
        "plate": found.plate,
    }


def made_entry(name: str, source: Source) -> dict[str, Any]:
    """Of a dataset that does not lie there as files."""
    return {
        "name": printable(name),
        "url": made_address(name),
        "zarr_format": 3,
        "labels": [],
        "preview": None,
        "plate": source.plate,
        "slow": source.slow,
    }


def file_entry(name: str) -> dict[str, Any]:
    """Of a file that is not opened: which images it has is told by `/images.json?` and its address."""
    return {"name": printable(name), "url": made_address(name), "file": True}


def made_address(name: str) -> str:
    """Where a dataset, or file, of that name is."""
    return f"data/{quote(os.fsencode(name))}"


def reason(error: ProcError, name: str) -> str:
    """Why the file of that name cannot be opened, without its name; of another one, with that."""
    other = PurePath(error.source).name if error.source else ""
    parts = (f"{other}: " if other not in ("", PurePath(name).name) else "") + error.message, error.hint
    return printable("; ".join(filter(None, parts)))


def printable(name: str) -> str:
    """A file name, which can be any bytes, as text."""
    return os.fsencode(name).decode(errors="replace")
