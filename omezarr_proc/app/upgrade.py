"""`upgrade DATASET... --ngff-version 0.6`: the metadata of datasets in another version of NGFF, 0.5 to 0.6 or back; no pixel is touched.

All documents of a dataset are made before the first is written; each is replaced at once, the root last. A run that is killed leaves every
group in one version or the other, readable as it is, and the next run does the rest. Of datasets of this program both ways together change
no byte, and a dataset that was upgraded is one that was converted so, also for EXISTING. Exit status: 0 done, 1 a dataset cannot be said
in that version or cannot be read, 2 wrong usage, 73 it cannot be written, 75 a conversion works on it.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omezarr_proc.app.parser import VerbParser
from omezarr_proc.check.collection import open_collection
from omezarr_proc.check.labels import label_paths
from omezarr_proc.model.address import Place, absolute, place
from omezarr_proc.model.errors import InputError, ProcError, UnsupportedInputError, about, leading
from omezarr_proc.model.text import counted, one_line, shown
from omezarr_proc.ngff.versions import VERSIONS, UnsaidError, in_version
from omezarr_proc.publish.hidden import inside
from omezarr_proc.publish.lock import Lock, LockedError, is_held
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.read import open_dataset, read_json
from omezarr_proc.store.zarr_array import Json

_DOCUMENT = ROOT_DOCUMENTS[-1]


def main(argv: list[str]) -> int:
    """Write the metadata of the named datasets anew, print a line for each, and return the exit status."""
    parser = VerbParser(
        "upgrade",
        "Write the metadata of OME-Zarr images and plates in another version of NGFF; pixels stay.",
        "Exit status: 0 done, 1 a dataset cannot be said in that version, 2 wrong usage, 73 cannot be written, 75 try again.",
    )
    parser.add_datasets("image or plate")
    parser.add_argument("--ngff-version", required=True, choices=VERSIONS, help="which version")
    arguments = parser.parse_args(argv)
    failures: list[ProcError] = []
    for path in arguments.datasets:
        dataset = place(absolute(str(path)))  # "." has no name
        try:
            with about(dataset):
                written = upgrade(dataset, arguments.ngff_version)
            done = f"{counted(written, 'document')} written" if written else "is so already"
            print(one_line(f"{shown(path)}: NGFF {arguments.ngff_version}, {done}"), flush=True)
        except ProcError as error:
            failures.append(error)
            print(one_line(str(error)), flush=True)
    return leading(failures).exit if failures else 0


def upgrade(dataset: Place, version: str) -> int:
    """Write a dataset's metadata in a version; returns how many documents that took. Raises ProcError."""
    with _locked(dataset):
        objects: Objects = Folder(str(dataset), durable=True) if isinstance(dataset, Path) else objects_at(dataset)
        changed = {key: document for key in _groups(dataset) if (document := _changed(objects, dataset, key, version)) is not None}
        for key, document in reversed(changed.items()):
            objects.put(key, document, atomic=True)
    return len(changed)


def _locked(dataset: Place) -> AbstractContextManager[object]:
    """The right to write to the dataset, wherever a conversion of it would have its lock."""
    if not isinstance(dataset, Path):
        from omezarr_proc.publish.store_lock import StoreLock

        return StoreLock(dataset)
    if not dataset.is_dir():
        raise InputError(
            f"{'is not a folder' if dataset.exists() else 'is not there'}: name the folder of an OME-Zarr image", source=dataset
        )
    if is_held(inside(dataset)):
        raise LockedError("a conversion works on this dataset: wait until it is done", source=dataset)
    return Lock(dataset)


def _groups(root: Place) -> Iterator[str]:
    """The documents of all groups that have metadata of NGFF, each before those below it."""
    dataset = open_dataset(root)
    if dataset.zarr_format != 3:
        hint = "convert the TIFF anew, with ZARR_FORMAT=3"
        raise UnsupportedInputError("is Zarr v2, for which NGFF 0.5 and 0.6 are not defined", source=root, hint=hint)
    yield _DOCUMENT
    collection = open_collection(dataset)
    images = ("",) if collection is None else tuple(f"{image}/" for image in collection.images)
    parents = dict.fromkeys(f"{image.rstrip('/').rpartition('/')[0]}/" for image in images)
    yield from (f"{parent}{_DOCUMENT}" for parent in parents if parent != "/")
    if collection is not None and dataset.objects.exists(f"OME/{_DOCUMENT}"):  # what bioformats2raw names its images by
        yield f"OME/{_DOCUMENT}"
    for image in images:
        yield from (f"{image}{_DOCUMENT}",) if image else ()
        labels = label_paths(root / image.rstrip("/") if image else root)
        yield from (f"{image}labels/{_DOCUMENT}",) if labels else ()
        yield from (f"{image}labels/{label}/{_DOCUMENT}" for label in labels)


def _changed(objects: Objects, root: Place, key: str, version: str) -> bytes | None:
    """A group's document in a version; None where it is that already. Raises InputError where it cannot be said so."""
    found = read_json(objects, root, key)
    if found is None:
        raise InputError(f"{key} is not there", source=root)
    try:
        made = found | {"attributes": in_version(_attributes(found), version)} | _consolidated(found, version)
    except UnsaidError as error:
        raise UnsupportedInputError(f"{error}", source=root / key, hint="nothing of this dataset was changed") from None
    return None if made == found else json.dumps(made, indent=2).encode()


def _consolidated(document: Json, version: str) -> Json:
    """What a root repeats of the documents below it, where it does. Raises UnsaidError."""
    consolidated = document.get("consolidated_metadata")
    if not isinstance(consolidated, dict) or not isinstance(nodes := consolidated.get("metadata"), dict):
        return {}
    changed = {}
    for path, node in nodes.items():
        told = "ome" in _attributes(node)
        changed[path] = node | {"attributes": in_version(_attributes(node), version)} if told else node
    return {"consolidated_metadata": consolidated | {"metadata": changed}}


def _attributes(node: Any) -> Json:
    found = node.get("attributes") if isinstance(node, dict) else None
    return found if isinstance(found, dict) else {}
