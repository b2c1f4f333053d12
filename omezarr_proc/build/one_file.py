"""A finished dataset as one file beside it: a zip that holds it as it is, in one stream.

Rules: RFC-9, https://ngff.openmicroscopy.org/rfc/9/: nothing is compressed again, the documents come first, those of the root before all,
then those of each depth, and the comment says so. ZIP64 where the size asks for it. Its bytes are a function of the dataset's.
"""

import json
import zipfile
from pathlib import Path

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.whole import whole_file
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.read import read_attributes
from omezarr_proc.store.zipped import SUFFIX, Zipped

_DOCUMENT = "zarr.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment of a zip


def one_file_path(target: Path) -> Path:
    """Where the file of a dataset is: `a.ozx` of `a.ome.zarr`."""
    return target.with_name(target.name.removesuffix(".zarr").removesuffix(".ome") + SUFFIX)


def key_of(file: Path) -> str | None:
    """The key of the dataset in a file; None where there is none of this program, which is whatever else lies there."""
    try:
        own = json.loads(Zipped(str(file)).get(_DOCUMENT))["attributes"]["omezarr_proc"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(own)


def write_one_file(dataset: Path, file: Path) -> None:
    """Write the file of a dataset; it appears when it is whole. Raises InputError, OutputError."""
    objects = Folder(str(dataset))
    ome = read_attributes(dataset).get("ome")
    version = ome.get("version") if isinstance(ome, dict) else None
    if version is None:
        raise OutputError("has no metadata of NGFF 0.5 or later, which one file needs", source=dataset)
    comment = {"ome": {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}
    keys = [*objects.keys("")]
    with whole_file(file, replaces=True) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(keys, key=_place):
            entry = zipfile.ZipInfo(key, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, objects.get(key))
        archive.comment = json.dumps(comment).encode()


def _place(key: str) -> tuple[bool, int, str]:
    """Documents before all else, those at the top first."""
    is_document = key.rpartition("/")[2] == _DOCUMENT
    return not is_document, key.count("/") if is_document else 0, key
