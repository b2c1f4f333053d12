"""What a dataset holds beside its chunks: the JSON documents and the OME-XML; and where planes are spooled.

While staged, a dataset has arrays and chunks but no root metadata; that comes last, then it is published. In Zarr v2 the root is two
documents: `.zgroup` makes it a group, and the `.zattrs` that makes the group an image is put after it.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from omezarr_proc.host.background import side_by_side
from omezarr_proc.host.faults import output_error
from omezarr_proc.model.errors import NoSpaceError
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.documents import array_documents, group_documents
from omezarr_proc.store.objects import Objects

OME_XML = "OME/METADATA.ome.xml"
ICC_PROFILE = "OME/profile.icc"


def write_metadata(store: ChunkStore, ome_xml: bytes = b"", profile: bytes = b"") -> None:
    """Put the array metadata of every level, and of the input what is kept: its OME-XML, its ICC profile as it is. Raises OutputError."""
    documents = {
        f"{level.index}/{name}": document for level in store.pyramid.levels for name, document in array_documents(store, level).items()
    }
    put_all(store.objects, documents | {name: data for name, data in ((OME_XML, ome_xml), (ICC_PROFILE, profile)) if data})


def put_all(objects: Objects, documents: Mapping[str, bytes]) -> None:
    """Put documents by their keys: where puts do not wait for each other many at a time, else in this order. Raises OutputError."""
    puts = [partial(objects.put, key, document, atomic=True) for key, document in documents.items()]
    if objects.apart:
        side_by_side(puts)
    else:
        for put in puts:
            put()


def write_root(objects: Objects, attributes: dict[str, Any], zarr_format: Literal[2, 3]) -> None:
    """Put the root group with its attributes: what makes a dataset of the tree. Raises OutputError."""
    for name, document in group_documents(attributes, zarr_format).items():
        objects.put(name, document, atomic=True)


def spool_file(place: Path, size: int) -> int:
    """A descriptor of an unlinked file of `size` bytes beside the staging folder `place`, for decoded planes that do not fit into memory.

    Raises OutputError where there is not so much space.
    """
    try:
        free = shutil.disk_usage(place.parent).free
        if free < size:
            raise NoSpaceError(
                f"{size >> 20} MB of free space are needed for decoded planes, there are {free >> 20} MB", source=place.parent
            )
        with tempfile.TemporaryFile(dir=place.parent, prefix=f"{place.name}.") as file:
            os.truncate(file.fileno(), size)
            return os.dup(file.fileno())
    except OSError as error:
        raise output_error("cannot make a file for decoded planes", error, place.parent) from error
