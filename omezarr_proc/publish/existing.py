"""What has a dataset's name already, and whether it may be replaced: only OME-Zarr datasets are, this program's and others'."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.store.opening import read_file

# One of these is in the root attributes of every OME-Zarr dataset: an image, a plate, a collection (https://ngff.openmicroscopy.org).
_MARKS = ("multiscales", "plate", "bioformats2raw.layout")


@dataclass(frozen=True)
class Existing:
    """What is there, in words, and whether it is an OME-Zarr dataset."""

    what: str
    is_dataset: bool


@dataclass(frozen=True)
class Standing:
    """What there is in a dataset's place.

    taken       whether a dataset is, which EXISTING decides about
    key         that a complete dataset of ours carries
    foreign     why it must not be replaced
    unfinished  in an object store: an earlier run has left something, which in a folder its hidden files tell
    """

    taken: bool
    key: str | None
    foreign: InTheWayError | None
    unfinished: bool = False


def standing(taken: bool, key: str | None, refuse: Callable[[], None]) -> Standing:
    """What there is in the place of a folder: `refuse` raises InTheWayError where it must not be replaced. Raises OutputError."""
    try:
        refuse()
    except InTheWayError as error:
        return Standing(taken, key, error)
    return Standing(taken, key, None)


def left_alone(there: Standing, existing: str, key: str, target: Place, *, locked: bool) -> str:
    """Why the dataset that is there already is left alone, by EXISTING, for one of this key; empty where it is not.

    locked  the caller has its lock: who has it decides of what is unfinished

    Raises InTheWayError where it must not be there.
    """
    if existing == "force" or (there.unfinished and not locked):
        return ""
    if there.taken:
        if there.key == key:
            return "is there already, made of the same input with the same settings"
        if existing == "skip":
            return "is there already (EXISTING=skip)"
        if existing == "fail":
            raise InTheWayError(
                "is there already, of another input or with other settings (EXISTING=fail): remove it, or choose replace or skip",
                source=target,
            )
    if there.foreign:
        raise there.foreign
    return ""


def look(path: Path) -> Existing | None:
    """What is at `path`; None where nothing is. Raises OSError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(mode):
        return Existing("a link" if stat.S_ISLNK(mode) else "a file", is_dataset=False)
    dataset = dataset_at(path)
    return Existing(dataset or "a folder that is no OME-Zarr dataset", is_dataset=dataset is not None)


def dataset_at(folder: Path) -> str | None:
    """Whose OME-Zarr dataset a folder is, in words; None where it is none."""
    if own := _own(folder):
        return f"an OME-Zarr dataset of omezarr_proc {own.get('version', '')}".strip()
    return "an OME-Zarr dataset of another program" if any(map(is_ome, root_attributes(folder))) else None


def refuse_foreign(path: Path) -> None:
    """Raise OutputError where something is at `path` that is no OME-Zarr dataset."""
    if (found := look(path)) and not found.is_dataset:
        raise InTheWayError(
            f"is {found.what} and is not replaced: move it away or remove it, or choose EXISTING=force, which deletes it", source=path
        )


def stored_key(path: Path) -> str | None:
    """The key that a complete dataset of ours carries, in Zarr v3 or v2; None where there is none."""
    own = _own(path)
    return str(own["key"]) if own else None


def is_node(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any(os.path.lexists(path / name) for name in ("zarr.json", ".zgroup", ".zarray"))


def root_attributes(path: Path) -> Iterator[dict[str, Any]]:
    """The attributes of the root group, in each Zarr format in which there is one."""
    root = _json(path / "zarr.json")
    if root.get("node_type") == "group" and isinstance(attributes := root.get("attributes"), dict):
        yield attributes
    if os.path.lexists(path / ".zgroup"):
        yield _json(path / ".zattrs")


def _own(path: Path) -> dict[str, Any] | None:
    """What this program noted in the root attributes of a dataset, among it the key."""
    for attributes in (_json(path / "zarr.json").get("attributes"), _json(path / ".zattrs")):
        own = attributes.get("omezarr_proc") if isinstance(attributes, dict) else None
        if isinstance(own, dict) and "key" in own:
            return own
    return None


def is_ome(attributes: dict[str, Any]) -> bool:
    """Whether these are the root attributes of an OME-Zarr dataset."""
    inner = attributes.get("ome")  # since NGFF 0.5
    return any(mark in place for place in (attributes, inner) if isinstance(place, dict) for mark in _MARKS)


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        found = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
