"""The files of a multi-file OME-TIFF: found by name or, when renamed, by UUID, and only in the folder of the file that names them.

A crafted file can name any path of the host, so nothing of a FileName but its last part is ever used.
"""

import os
import re
import sys

from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.errors import InputError, UnreadableInputError
from omezarr_proc.tiff.describe import omexml
from omezarr_proc.tiff.describe.omevalues import OmeXmlError
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.budget import Budget
from omezarr_proc.tiff.file.bytes import Bytes, is_file, names_beside
from omezarr_proc.tiff.file.files import Files
from omezarr_proc.tiff.file.ifd import MAX_TEXT

MAX_SIBLINGS = 2000


def description(path: str, files: Files, budget: Budget, most: int | None = None) -> str:
    """The image description of a TIFF's first page, or the text of an OME-XML file, of its first `most` bytes.

    Raises InputError when the file is neither, LimitError when its text is too long for the budget.
    """
    try:
        if path.lower().endswith(".ome") or path.lower().endswith(".ome.xml"):
            return _text(files.bytes(path), budget, most)
        ifds = files.ifds(path)
        return ifds.text(ifds.ifd(ifds.first), tags.IMAGE_DESCRIPTION, most)
    except OSError as error:
        refuse_silence(error)
        raise UnreadableInputError(
            f"cannot be read ({error.strerror})", source=path, hint="check that it is a file and readable"
        ) from error


def _text(source: Bytes, budget: Budget, most: int | None) -> str:
    size = min(source.size, most or sys.maxsize)
    budget.need(5 * size)  # bytes, and up to 4 for each character
    return source.read([(0, size)])[0].decode("utf-8-sig", "replace")


def metadata(path: str, text: str, files: Files, budget: Budget) -> tuple[str, str, omexml.OmeDocument]:
    """The file, the OME-XML and the document that describe the image of `path`, from the companion file where the file only holds pixels.

    Raises InputError when the companion is missing or unusable.
    """
    budget.keep(sys.getsizeof(text))
    try:
        document = omexml.parse(text, budget)
    except OmeXmlError as error:
        raise InputError(
            f"its OME-XML cannot be used: {error}", source=path, hint="write the file anew or repair its ImageDescription"
        ) from error
    if document.images or not document.metadata_file:
        return path, text, document
    name = _basename(document.metadata_file)
    companion = os.path.join(os.path.dirname(path), name)
    if not is_file(companion):
        found = _siblings(path, files, budget).get(document.metadata_uuid or "")
        if found is None:
            raise InputError(f"its metadata are in {name!r}, which is not in its folder", source=path, hint="put it there")
        companion = found
    text = description(companion, files, budget)
    budget.keep(sys.getsizeof(text))
    try:
        document = omexml.parse(text, budget)
    except OmeXmlError as error:
        raise InputError(f"the OME-XML of {name!r} cannot be used: {error}", source=path) from error
    if not document.images:
        raise InputError(f"its metadata should be in {name!r}, which describes no image", source=path)
    return companion, text, document


def resolve(path: str, document: omexml.OmeDocument, files: Files, budget: Budget) -> dict[tuple[str | None, str | None], str | None]:
    """The path of each (uuid, filename) that the TiffData of a document name; None for one that is not there."""
    keys = dict.fromkeys((data.uuid, data.filename) for image in document.images for data in image.tiffdata)
    own = _own_uuid(path, files, budget)
    found: dict[tuple[str | None, str | None], str | None] = {}
    siblings: dict[str, str] | None = None
    for uuid, filename in keys:
        budget.need()
        name = _basename(filename) if filename else None
        if (uuid is None and not name) or (uuid is not None and uuid == own) or name == os.path.basename(path):
            found[uuid, filename] = path
        elif name and is_file(os.path.join(os.path.dirname(path), name)):
            found[uuid, filename] = os.path.join(os.path.dirname(path), name)
        else:
            siblings = _siblings(path, files, budget) if siblings is None and uuid else siblings
            found[uuid, filename] = (siblings or {}).get(uuid or "")
    if len(found) == 1 and not any(found.values()) and own is None and not path.lower().endswith(".ome"):
        return dict.fromkeys(found, path)  # one file that was renamed
    return found


def _siblings(path: str, files: Files, budget: Budget) -> dict[str, str]:
    folder = os.path.dirname(path)
    names = sorted(name for name in names_beside(path) if re.search(r"\.(tiff?|tf[28]|btf|ome)$", name, re.IGNORECASE))
    found: dict[str, str] = {}
    for name in names[:MAX_SIBLINGS]:
        sibling = os.path.join(folder, name)
        uuid = _own_uuid(sibling, files, budget) if is_file(sibling) else None
        if uuid:
            found.setdefault(uuid, sibling)
    return found


def _own_uuid(path: str, files: Files, budget: Budget) -> str | None:
    try:
        head = description(path, files, budget, MAX_TEXT)[:20000]
    except InputError:
        return None
    match = re.search(r"<(?:\w+:)?OME\s[^>]*?\bUUID\s*=\s*[\"']([^\"']+)[\"']", head)
    return match.group(1).strip().lower().removeprefix("urn:uuid:") if match else None


def _basename(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]
