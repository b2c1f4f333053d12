"""Opens a TIFF or OME-TIFF in the main process: which images it holds, where their planes are, what its metadata say. No pixels are read.

OME-XML      planes by TiffData (`planes`, `members`); pixel types by the pages
ImageJ       channel, slice, frame
others       `series`: the pages of one size and type are one stack; vendors' slides
"""

import os
import re
from dataclasses import replace

import numpy as np

from . import imagej, omexml, planes, series, shaped
from . import members as sets
from .errors import InputError
from .ifd import Directory, Ifd
from .image import AxisSize, Channel, Image, Plane
from .pages import Pages

_ASIDE = re.compile(r"(?<![a-z])(label|macro|thumbnail|overview)(?![a-z])", re.IGNORECASE)
_STORED = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
_RESOLUTION = {2: (25400.0, "inch"), 3: (10000.0, "centimetre")}


def open_images(path: str, *, images: str = "auto", on_missing: str = "error") -> list[Image]:
    """The images of a file, with all members of its set.

    images      "auto": all but label, macro, thumbnail and overview; "all"; or numbers like "0,2"
    on_missing  "error", or "fill": planes that are not there become None

    Raises InputError, in one line, for whatever cannot be converted faithfully.
    """
    path = os.path.abspath(path)
    text = sets.description(path)
    is_ome = omexml.is_ome(text)
    pages = Pages(lookup_tables=is_ome or imagej.is_imagej(text), sparse_allowed=not is_ome)
    try:
        found = _ome(path, text, pages, on_missing == "fill") if is_ome else _plain(path, text, pages)
    except omexml.OmeXmlError as error:
        raise InputError(
            f"{path}: its OME-XML contradicts itself or the pages: {error}; repair its ImageDescription or write the file anew"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file and its folder") from error
    finally:
        pages.close()
    finished = [
        replace(image, files=tuple(pages.paths), layouts=pages.finished_layouts(), fingerprint=pages.fingerprint) for image in found
    ]
    return _chosen(path, finished, images)


def members(path: str) -> tuple[str, ...]:
    """The TIFF files of the set that `path` belongs to, in natural order: a set is converted once, under the name of the first.

    Just the file itself where it stands alone. Raises InputError as `open_images` does.
    """
    path = os.path.abspath(path)
    text = sets.description(path)
    if not omexml.is_ome(text):
        return (path,)
    _, document = sets.metadata(path, text)
    found = {there for there in sets.resolve(path, document).values() if there} | {path}
    return tuple(sorted((there for there in found if not there.lower().endswith(".ome")), key=sets.natural))


def _chosen(path: str, found: list[Image], images: str) -> list[Image]:
    if images == "all":
        return found
    if images == "auto":
        return [image for image in found if not _ASIDE.search(image.name)] or found[:1]
    wanted = [int(number) for number in images.split(",") if number.strip().isdigit()]
    absent = [number for number in wanted if number >= len(found)]
    if absent or not wanted:
        raise InputError(f"{path}: IMAGES asks for image {absent or images}, but the file has {len(found)}, counted from 0")
    return [found[number] for number in wanted]


def _ome(path: str, text: str, pages: Pages, fill: bool) -> list[Image]:
    text, document = sets.metadata(path, text)
    if not document.images:
        raise omexml.OmeXmlError("it describes no image")
    if not path.lower().endswith(".ome"):
        pages.file(path)
    paths = sets.resolve(path, document)
    return [_ome_image(path, text, number, ome, paths, pages, fill) for number, ome in enumerate(document.images)]


def _ome_image(
    path: str,
    text: str,
    number: int,
    ome: omexml.OmeImage,
    paths: dict[tuple[str | None, str | None], str | None],
    pages: Pages,
    fill: bool,
) -> Image:
    if not ome.size:
        raise omexml.OmeXmlError(f"image {number} has no Pixels")

    def page(place: planes.Place | None) -> tuple[int, Ifd] | None:
        if place is None:
            return None
        data, index = place
        member = path if data is None else paths[data.uuid, data.filename]
        if member is None and data is not None:
            if fill:
                return None
            raise InputError(
                f"{path}: the file {data.filename or data.uuid} of its set is missing; put it into the same folder (or set ON_MISSING=fill)"
            )
        file = pages.file(member or path)
        return (file, pages.chains[file][index]) if index < len(pages.chains[file]) else None

    # the samples of the first page that is there decide how many channels a page holds, as in Bio-Formats
    first = next((found for found in map(page, planes.order(ome, max(ome.size["C"], 1))) if found), None)
    if first is None:
        raise InputError(f"{path}: none of the planes of image {number} is in the file; it was not finished by its writer")
    layout, shown = pages.kind(*first)
    stored = shown.stored_samples * shown.planes
    groups, size_c = planes.channel_groups(ome, stored)
    found: list[Plane | None] = []
    gaps: list[int] = []
    order = planes.order(ome, groups)
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
                f"{path}: image {number}: {len(gaps)} of {len(order)} planes are not in the file, the first is t={t} c={rest % groups} z={rest // groups}; "
                "find the complete file (or set ON_MISSING=fill)"
            )
        notes.append(f"{len(gaps)} of {len(order)} planes are missing and filled")
    if ome.modulo:
        notes.append("sub-dimensions are laid along " + ", ".join(f"{axis} ({kind})" for axis, kind in ome.modulo.items()))
    image = _image(path, pages, number, ome.name, (ome.size["T"], size_c, ome.size["Z"]), found, first, notes)
    stated = (ome.size["X"], ome.size["Y"])
    if stated != (image.width, image.height):
        raise omexml.OmeXmlError(f"image {number} has pages of {image.width} x {image.height} pixels, not {stated[0]} x {stated[1]}")
    return replace(image, channels=_channels(ome, size_c, stored), sizes=dict(ome.physical), ome_xml=text)


def _channels(ome: omexml.OmeImage, size_c: int, samples: int) -> tuple[Channel, ...]:
    """One Channel for each channel: a Channel element of several samples names each of them; its colour is that of none."""
    if len(ome.channels) == size_c:
        return tuple(ome.channels)
    spread = [replace(channel, color=None) if samples > 1 else channel for channel in ome.channels for _ in range(samples)]
    return tuple((spread + [Channel()] * size_c)[:size_c])


def _plain(path: str, text: str, pages: Pages) -> list[Image]:
    file = pages.file(path)
    directory, chain = pages.directory(file), pages.chains[file]
    if imagej.is_imagej(text) and series.alike(directory, chain):
        return [_stack(path, pages, chain, imagej.parse(text, len(chain), _samples(pages, chain[0])))]
    axes = shaped.parse(text)
    if axes is not None:
        described = _shaped(path, pages, chain, axes)
        if described is not None:
            return [described]
    found = []
    for number, one in enumerate(series.of(directory, chain, text)):
        _, shown = pages.kind(file, one.pages[0])
        samples = shown.samples * shown.planes
        count = len(one.pages)
        notes = list(one.notes)
        if one.channels:
            sizes, step = (1, samples * count, 1), "channels"
        elif shown.stored_samples * shown.planes > 1:
            sizes, step = (count, samples, 1), "time points"
        else:
            sizes, step = (1, samples, count), "z slices"
        if count > 1:
            notes.append(f"its {count} pages are taken as {step}, since nothing in the file says what they are")
        listed: list[Plane | None] = [pages.plane(file, ifd, sample) for ifd in one.pages for sample in range(shown.planes)]
        image = _image(path, pages, number, one.name, sizes, listed, (file, one.pages[0]), notes)
        channels = tuple(Channel(name or None) for name in one.channels) if len(one.channels) == image.size_c else image.channels
        if image.size_c == 1:
            channels = (Channel(series.metamorph_name(text)),)
        found.append(replace(image, channels=channels, sizes=_resolution(directory, one.pages[0], None)))
    return found


def _samples(pages: Pages, ifd: Ifd) -> int:
    shown = pages.kind(0, ifd)[1]
    return shown.samples * shown.planes


def _stack(path: str, pages: Pages, chain: list[Ifd], stack: imagej.Stack) -> Image:
    """An ImageJ stack; more planes than pages lie behind the first page's, without pages of their own."""
    directory = pages.directory(0)
    _, shown = pages.kind(0, chain[0])
    if stack.images > len(chain) and not (len(chain) == 1 and len(directory.integers(chain[0], 273)) == 1):
        stack.c, stack.z, stack.t = 1, len(chain), 1
    number = stack.c * stack.z * stack.t
    listed = (
        _behind(pages, chain, number) if number > len(chain) else [pages.plane(0, ifd, s) for ifd in chain for s in range(shown.planes)]
    )
    notes = (
        []
        if stack.images <= number
        else [f"its description states {stack.images} planes, the file has {number}: another program cut it and kept the text"]
    )
    image = _image(path, pages, 0, "", (stack.t, stack.c * shown.samples * shown.planes, stack.z), listed, (0, chain[0]), notes)
    return replace(image, sizes=_resolution(directory, chain[0], stack.unit) | stack.sizes)


def _shaped(path: str, pages: Pages, chain: list[Ifd], axes: shaped.Axes) -> Image | None:
    """A stack as tifffile describes it in its own way; None where that does not fit the pages."""
    layout, shown = pages.kind(0, chain[0])
    width, height = pages.layouts[layout].width, pages.layouts[layout].height
    count = axes.planes(height, width, shown.stored_samples)
    if count is None or not (count == len(chain) * shown.planes or (len(chain) == 1 and pages.layouts[layout].raw)):
        return None
    if count > len(chain) * shown.planes:
        listed = _behind(pages, chain, count // shown.planes)
    else:
        listed = [pages.plane(0, ifd, sample) for ifd in chain for sample in range(shown.planes)]
    sizes, order = axes.sizes(shown.stored_samples)
    image = _image(path, pages, 0, "", sizes, [listed[index] for index in order], (0, chain[0]), axes.notes)
    return replace(image, sizes=_resolution(pages.directory(0), chain[0], None))


def _behind(pages: Pages, chain: list[Ifd], count: int) -> list[Plane | None]:
    """Planes that lie one behind the other after a single page. Raises InputError where the page's pixels are not stored raw or the file ends."""
    layout, shown = pages.kind(0, chain[0])
    kind, directory = pages.layouts[layout], pages.directory(0)
    nbytes = kind.segment_bytes * -(-kind.height // kind.segment_height) * shown.planes
    begin = int((directory.integers(chain[0], 273)[:1].tolist() or [0])[0])
    end = begin + nbytes * count
    possible = len(chain) == 1 and kind.raw and not kind.tiled and shown.samples == shown.stored_samples
    if not possible or end > directory.size or begin < chain[0].offset < end:
        raise InputError(
            f"{pages.paths[0]}: {count} planes are stated, but {len(chain)} pages are there; the file is cut off or was not finished"
        )
    return [pages.plane(0, chain[0], sample) for sample in range(count * shown.planes)]


def _image(
    path: str,
    pages: Pages,
    number: int,
    name: str,
    tcz: tuple[int, int, int],
    listed: list[Plane | None],
    first: tuple[int, Ifd],
    notes: list[str],
) -> Image:
    kind, shown = pages.kind(*first)
    layout = pages.layouts[kind]
    for plane in listed:
        other = layout if plane is None else pages.layouts[plane.layout]
        if (other.height, other.width, other.samples, other.dtype) != (layout.height, layout.width, layout.samples, layout.dtype):
            raise InputError(f"{path}: image {number} has pages of different size or type ({layout.width} x {layout.height} {layout.dtype} and "
                             f"{other.width} x {other.height} {other.dtype}); write each kind into an image of its own")  # fmt: skip
    if layout.dtype == "float16":
        raise InputError(f"{path}: image {number} has pixels of type {layout.dtype}")
    stored = _STORED.get(layout.dtype, layout.dtype)
    if stored != layout.dtype:
        notes = [*notes, f"{layout.dtype} pixels are stored as {stored}, which every viewer can read"]
    elif shown.stored == np.float16:
        notes = [*notes, "float16 pixels are stored as float32, which every viewer can read"]
    if any(plane is not None and (plane.file, plane.ifd) in pages.sparse for plane in listed):
        notes = [*notes, "some segments have no bytes (a sparse file): their pixels are the no-data value or 0"]
    orientation = pages.directory(first[0]).integer(first[1], 274, 1)
    if orientation != 1:
        notes = [*notes, f"rows and columns stay as they are stored (Orientation {orientation} is not applied)"]
    t, c, z = tcz
    return Image(path, (), number, name, t, c, z, layout.height, layout.width, layout.dtype, stored, shown.rgb and c in (3, 4), (), tuple(listed),
                 tuple(Channel() for _ in range(c)), notes=tuple(notes))  # fmt: skip


def _resolution(directory: Directory, ifd: Ifd, unit: str | None) -> dict[str, AxisSize]:
    """Pixel sizes from XResolution and YResolution, in `unit` as OME spells it, or as ResolutionUnit says."""
    sizes = {}
    for axis, code in (("x", 282), ("y", 283)):
        value = directory.rational(ifd, code)
        if value is None:
            continue
        if unit is not None:
            size = omexml.axis_size(1 / value, unit, omexml.LENGTHS)
        else:
            inch = _RESOLUTION.get(directory.integer(ifd, 296, 2))
            size = omexml.axis_size(inch[0] / value, "\u00b5m", omexml.LENGTHS) if inch else None
        if size:
            sizes[axis] = size
    return sizes
