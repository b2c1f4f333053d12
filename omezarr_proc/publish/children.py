"""What of a folder is of the dataset that the folder itself is, by its root metadata; all else there is its user's."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.publish.existing import dataset_at, is_node, root_attributes
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.read import is_inside

# What a dataset of ours has at its top: levels are halved, so there are never a hundred.
OURS = re.compile(r"zarr\.json|\.zgroup|\.zattrs|\.zmetadata|OME|[0-9]{1,2}")


def children_of(folder: Path, roots: Iterable[dict[str, Any]]) -> set[str]:
    """The names in `folder`, but for the root metadata, that belong to the dataset whose root attributes are `roots`.

    These are the levels of an image and the rows of a plate, by the paths that are named; where there is a root at all, also its labels
    and its OME metadata, and of a collection (bioformats2raw) the images, which it numbers. Of a longer path only a first folder that is
    itself a node of the Zarr hierarchy is one. Raises OSError.
    """
    paths, collection, some = set(), False, False
    for root in roots:
        some = True
        ome = root.get("ome")
        for place in (root, ome if isinstance(ome, dict) else {}):
            paths |= set(_paths(place))
            collection |= "bioformats2raw.layout" in place
    alone = {path.parts[0] for path in paths if len(path.parts) == 1}
    nodes = {path.parts[0] for path in paths} | ({"OME", "labels"} if some else set())

    def belongs(name: str) -> bool:
        if name in alone or (
            name == "OME" in nodes and any(os.path.lexists(folder / name / kept) for kept in ("METADATA.ome.xml", "profile.icc"))
        ):
            return True
        return (name in nodes or (collection and name.isdecimal())) and is_node(folder / name)

    return {name for name in os.listdir(folder) if belongs(name)}


def refuse_in_the_way(folder: Path, rows: Iterable[str] = ()) -> None:
    """Raise InTheWayError where something in `folder` has a name that a dataset in its place needs, and is of no OME-Zarr dataset.

    rows  what the dataset has at its top beside what all have there
    """
    needed = set(rows)
    kept = {*ROOT_DOCUMENTS, *children_of(folder, root_attributes(folder))} if dataset_at(folder) else set()
    for name in sorted(os.listdir(folder)):
        if (OURS.fullmatch(name) or name in needed) and name not in kept:
            raise InTheWayError(
                "is of no OME-Zarr dataset and is not replaced: move it away or remove it, or choose EXISTING=force, which deletes it",
                source=folder / name,
            )


def named_at_top(root: dict[str, Any]) -> set[str]:
    """What of a dataset's top its root attributes name: the first part of the path of each level or well."""
    ome = root.get("ome")
    return {path.parts[0] for place in (root, ome if isinstance(ome, dict) else {}) for path in _paths(place)}


def _paths(place: dict[str, Any]) -> Iterator[PurePosixPath]:
    """Where the metadata say that levels and wells are."""
    multiscales, plate = place.get("multiscales"), place.get("plate")
    lists = [image.get("datasets") for image in multiscales if isinstance(image, dict)] if isinstance(multiscales, list) else []
    lists += [plate.get("wells")] if isinstance(plate, dict) else []
    for entry in (entry for entries in lists if isinstance(entries, list) for entry in entries):
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and is_inside(path) and (parts := PurePosixPath(path).parts) and not parts[0].startswith("."):
            yield PurePosixPath(path)
