"""The images of an OME-TIFF: planes by TiffData, from all files of the set; pixel types by the pages."""

import math
from dataclasses import replace

from omezarr_proc.model.errors import InputError, UnsupportedInputError
from omezarr_proc.model.image import Channel, Image, Plane
from omezarr_proc.tiff.describe import members, omexml, planes, plates
from omezarr_proc.tiff.describe.assemble import Refused, assembled, check_number
from omezarr_proc.tiff.describe.omevalues import OmeXmlError
from omezarr_proc.tiff.describe.pages import Pages
from omezarr_proc.tiff.file.budget import PLANE_BYTES
from omezarr_proc.tiff.file.ifd import Ifd


def images(path: str, text: str, pages: Pages, fill: bool, most: int | None) -> list[Image | Refused]:
    """The images that the OME-XML `text` of `path` describes; with `fill`, planes that are not there are None.

    most  images that the file may have beside the fields of its plates; None: any number

    Raises InputError for a file or plane that is missing, OmeXmlError where the document contradicts itself or the pages.
    """
    described_in, text, document = members.metadata(path, text, pages.files, pages.budget)
    if described_in != path:
        pages.states.append(pages.files.bytes(described_in).identity)
    if not document.images:
        raise OmeXmlError("it describes no image")
    fields = plates.fields(document.plates)
    check_number(path, sum(image.id not in fields for image in document.images), most)
    if not path.lower().endswith(".ome"):
        pages.file(path)
    paths = members.resolve(path, document, pages.files, pages.budget)
    if not fill:
        for uuid, filename in [key for key, member in paths.items() if member is None]:
            raise InputError(
                f"the file {filename or uuid} of its set is missing (the set is described in {described_in}); "
                "put it into the same folder (or set ON_MISSING=fill)",
                source=path,
            )
    found: list[Image | Refused] = []
    several = len(document.images) > 1 and omexml.repaired(text) == text
    places = tuple(image.place for image in document.images) if several else ()
    for number, ome in enumerate(document.images):
        try:
            image = _image(path, text, number, ome, paths, pages, fill)
            found.append(replace(image, field=fields.get(ome.id), ome_places=places))
        except UnsupportedInputError as error:
            found.append(Refused(ome.name, error))
    return found


def _image(
    path: str,
    text: str,
    number: int,
    ome: omexml.OmeImage,
    paths: dict[tuple[str | None, str | None], str | None],
    pages: Pages,
    fill: bool,
) -> Image:
    if not ome.size:
        raise OmeXmlError(f"image {number} has no Pixels")

    pages.budget.need(PLANE_BYTES * min(math.prod(ome.size[axis] for axis in "ZCT"), planes.MAX_PLANES))

    def page(place: planes.Place | None) -> tuple[int, Ifd] | None:
        if place is None:
            return None
        data, index = place
        member = path if data is None else paths[data.uuid, data.filename]
        if member is None:
            return None
        file = pages.file(member)
        return (file, pages.chains[file][index]) if index < len(pages.chains[file]) else None

    # the samples of the first page that is there decide how many channels a page holds, as in Bio-Formats
    order = planes.order(ome, ome.size["C"])
    first = next((found for found in map(page, order) if found), None)
    if first is None:
        raise InputError(f"none of the planes of image {number} is in the file; it was not finished by its writer", source=path)
    _, shown = pages.kind(*first)
    stored = shown.stored_samples * shown.planes
    groups, size_c = planes.channel_groups(ome, stored)
    found: list[Plane | None] = []
    gaps: list[int] = []
    order = order if groups == ome.size["C"] else planes.order(ome, groups)
    for index, place in enumerate(order):
        there = page(place)
        if there is None:
            gaps.append(index)
            found.extend([None] * shown.planes)
        else:
            found.extend(pages.plane(*there, sample) for sample in range(shown.planes))
    notes = []
    if gaps:
        t, rest = divmod(gaps[0], ome.size["Z"] * groups)
        if not fill:
            raise InputError(
                f"image {number}: {len(gaps)} of {len(order)} planes are not in the file, "
                f"the first is t={t} c={rest % groups} z={rest // groups}; find the complete file (or set ON_MISSING=fill)",
                source=path,
            )
        notes.append(f"{len(gaps)} of {len(order)} planes are missing and filled")
    if ome.modulo:
        notes.append("sub-dimensions are laid along " + ", ".join(f"{axis} ({kind})" for axis, kind in ome.modulo.items()))
    image = assembled(path, pages, number, ome.name, (ome.size["T"], size_c, ome.size["Z"]), found, first, notes)
    stated = (ome.size["X"], ome.size["Y"])
    if stated != (image.width, image.height):
        raise OmeXmlError(f"image {number} has pages of {image.width} x {image.height} pixels, not {stated[0]} x {stated[1]}")
    return replace(image, channels=_channels(ome, size_c, stored), sizes=dict(ome.physical), ome_xml=text)


def _channels(ome: omexml.OmeImage, size_c: int, samples: int) -> tuple[Channel, ...]:
    """One Channel for each channel: a Channel element of several samples names each of them; its colour is that of none."""
    if len(ome.channels) == size_c:
        return tuple(ome.channels)
    spread = [replace(channel, color=None) if samples > 1 else channel for channel in ome.channels for _ in range(samples)]
    return tuple((spread + [Channel()] * size_c)[:size_c])
