"""Folders of several images: plates with their wells, and what bioformats2raw writes. Which images they name, and whether they do so right.

Rules: https://ngff.openmicroscopy.org/0.5/#plate-md, #well-md and #bf2raw; the same in 0.4.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from omezarr_proc.check.finding import Finding
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.read import Dataset, is_inside, read_attributes
from omezarr_proc.store.zarr_array import Json


@dataclass(frozen=True)
class Collection:
    """The images of a folder, relative to it, and what is wrong with how they are named."""

    images: tuple[str, ...]
    findings: tuple[Finding, ...]


def open_collection(root: Dataset) -> Collection | None:
    """The collection that the metadata of a root describe; None where it is that of an image, or of nothing known."""
    own = {**root.attributes, **_ome(root.attributes)}
    if "multiscales" in own:
        return None
    images: list[str] = []
    if "plate" in own:
        findings = tuple(_plate(root.path, own["plate"], images))
    elif "well" in own:
        findings = tuple(_well(own["well"], "", images))
    elif "bioformats2raw.layout" in own:
        findings = tuple(_series(root, own["bioformats2raw.layout"], images))
    else:
        return None
    return Collection(tuple(images), findings)


def _plate(root: Place, plate: Any, images: list[str]) -> Iterator[Finding]:
    lists: dict[str, Any] = {key: plate.get(key) if isinstance(plate, dict) else None for key in ("rows", "columns", "wells")}
    for key, found in lists.items():
        if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
            yield Finding("spec", f"plate.{key}", "is no list of objects", "a plate has rows, columns and wells, each at least one")
            return
    names = {key: [entry.get("name") for entry in lists[key]] for key in ("rows", "columns")}
    for key, found in names.items():
        if not all(isinstance(name, str) and name.isalnum() for name in found) or len(set(found)) < len(found):
            yield Finding("spec", f"plate.{key}", f"{found}", "rows and columns have names of letters and digits, each its own")
            return
    for index, well in enumerate(lists["wells"]):
        where, path = f"plate.wells[{index}]", well.get("path")
        places = well.get("rowIndex"), well.get("columnIndex")
        fits = all(isinstance(at, int) and 0 <= at < len(names[key]) for at, key in zip(places, names, strict=True))
        if not fits or path != "/".join(names[key][at] for at, key in zip(places, names, strict=True)):
            rule = "a well's path is the names of the row and the column that rowIndex and columnIndex tell"
            yield Finding("spec", where, f"path {path!r} at {places}", rule)
        elif (attributes := _attributes(root / path)) is None:
            yield Finding("spec", f"{where}.path", f"{path!r} is no group of Zarr", "every well is there")
        else:
            yield from _well(attributes.get("well"), f"{path}/", images)


def _well(well: Any, path: str, images: list[str]) -> Iterator[Finding]:
    found = well.get("images") if isinstance(well, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
        yield Finding("spec", f"{path}well.images", "is no list of objects", "a well has images, at least one")
        return
    for index, entry in enumerate(found):
        name = entry.get("path")
        if isinstance(name, str) and is_inside(name):
            images.append(path + name)
        else:
            yield Finding("spec", f"{path}well.images[{index}].path", f"{name!r}", "path names an image below the well")


def _series(root: Dataset, layout: Any, images: list[str]) -> Iterator[Finding]:
    if layout != 3:
        yield Finding("spec", "bioformats2raw.layout", f"{layout!r}", "the layout that is defined is 3")
    series = (_attributes(root.path / "OME") or {}).get("series")
    if series is None:
        with suppress(OSError):  # a web server cannot be listed
            images += sorted(filter(str.isdecimal, root.objects.names()[0]), key=int)
        if not images:
            yield Finding("spec", "bioformats2raw.layout", "no image is there", "images are named by OME/series, or are folders 0, 1, ...")
    elif isinstance(series, list) and all(isinstance(name, str) and is_inside(name) for name in series):
        images += series
    else:
        yield Finding("spec", "OME.series", f"{series!r}", "series is a list of paths")


def _attributes(group: Place) -> Json | None:
    """The NGFF metadata of a group below the root; None where there is none."""
    try:
        attributes = read_attributes(group)
    except InputError:
        return None
    return {**attributes, **_ome(attributes)}


def _ome(attributes: Json) -> Json:
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else {}
