"""Label images below an image's `labels/`: which there are, and whether their metadata are right.

Rules: https://ngff.openmicroscopy.org/0.5/#labels-md and #label-md; an image whose pixels are whole numbers that name objects.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from omezarr_proc.check.finding import Finding
from omezarr_proc.check.spec import check
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError
from omezarr_proc.store.read import Dataset, is_inside, read_attributes
from omezarr_proc.store.zarr_array import Json


def label_paths(image: Place) -> list[str]:
    """The label images that the group `labels` of an image lists; empty where there is no such group. Raises StoreUnavailableError."""
    try:
        listed = _own(read_attributes(image / "labels")).get("labels")
    except InputError:
        return []
    return [name for name in listed if isinstance(name, str) and is_inside(name)] if isinstance(listed, list) else []


def check_label(label: Dataset, image: Dataset) -> list[Finding]:
    """Everything that is wrong with the metadata of one label image; it needs no rendering block, since values are no brightness."""
    found = [finding for finding in check(label) if not finding.where.endswith("omero")]
    return [*found, *_of_labels(label, image)]


def _of_labels(label: Dataset, image: Dataset) -> Iterator[Finding]:
    for array in label.arrays:
        try:
            whole = np.dtype(array.dtype).kind in "iu"
        except TypeError:
            whole = False
        if not whole:
            yield Finding("spec", array.path, f"is {array.dtype}", "the pixels of label images are whole numbers")
    if label.arrays and image.arrays and len(label.arrays) != len(image.arrays):
        problem = f"has {len(label.arrays)} levels, the image {len(image.arrays)}"
        yield Finding("spec", "multiscales[0].datasets", problem, "a label image has the levels of its image")
    own = _own(label.attributes).get("image-label")
    if not isinstance(own, dict):
        yield Finding("viewers", "image-label", "is missing", "image-label says that values are labels", "add it")
        return
    yield from _colors(own.get("colors"), "image-label.colors")


def _colors(colors: Any, where: str) -> Iterator[Finding]:
    if colors is None:
        return
    if not isinstance(colors, list) or not all(isinstance(entry, dict) for entry in colors):
        yield Finding("spec", where, "is no list of objects", "colors has an object for each label")
        return
    values = [entry.get("label-value") for entry in colors]
    if not all(isinstance(value, int) for value in values) or len(set(values)) < len(values):
        yield Finding("spec", where, "label-value is missing or comes twice", "each label-value is a whole number, and has one colour")
    for index, entry in enumerate(colors):
        rgba = entry.get("rgba", [0, 0, 0, 0])
        if not isinstance(rgba, list) or len(rgba) != 4 or not all(isinstance(part, int) and 0 <= part <= 255 for part in rgba):
            yield Finding("spec", f"{where}[{index}].rgba", f"{rgba!r}", "rgba is four whole numbers from 0 to 255")


def _own(attributes: Json) -> Json:
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes
