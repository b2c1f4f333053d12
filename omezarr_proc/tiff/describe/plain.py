"""The images of a TIFF without OME-XML: ImageJ stacks, tifffile's own axes, slides, and pages of which nothing says what they are."""

from dataclasses import replace

from omezarr_proc.model.errors import InputError, UnsupportedInputError
from omezarr_proc.model.image import AxisSize, Channel, Image, Plane
from omezarr_proc.tiff.describe import imagej, ndpi, ndtiff, omevalues, scifio, series, shaped, slides
from omezarr_proc.tiff.describe.assemble import Refused, assembled, check_number
from omezarr_proc.tiff.describe.pages import Pages
from omezarr_proc.tiff.describe.planes import MAX_PLANES
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import Ifd, Ifds

_RESOLUTION = {2: 25400.0, 3: 10000.0}  # micrometres in a ResolutionUnit


def images(path: str, text: str, pages: Pages, most: int | None) -> list[Image | Refused]:
    """The images of a file with the description `text`, no more than `most`. Raises InputError for pages that cannot be read faithfully."""
    file = pages.file(path)
    ifds, chain = pages.ifds(file), pages.chains[file]
    if imagej.is_imagej(text) and series.alike(ifds, chain):
        return [_stack(path, pages, chain, imagej.parse(text, len(chain), _samples(pages, chain[0])))]
    described = _shaped(path, pages, chain, text) or _ndtiff(path, pages, chain)
    if described is not None:
        return [described]
    found: list[Image | Refused] = []
    listed = series.of(ifds, chain, text)
    check_number(path, len(listed), most)
    for number, one in enumerate(listed):
        try:
            found.append(_series(path, text, pages, number, one))
        except UnsupportedInputError as error:
            found.append(Refused(one.name, error))
    return found


def _series(path: str, text: str, pages: Pages, number: int, one: series.Series) -> Image:
    _, shown = pages.kind(0, one.pages[0])
    samples = shown.samples * shown.planes
    count = len(one.pages)
    notes = list(one.notes)
    if one.channels:
        sizes, step = (1, samples * count, 1), "channels"
    elif shown.stored_samples * shown.planes > 1 and not one.focal:
        sizes, step = (count, samples, 1), "time points"
    else:
        sizes, step = (1, samples, count), "z slices"
    if count > 1 and not one.focal:
        notes.append(f"its {count} pages are taken as {step}, since nothing in the file says what they are")
    image = assembled(path, pages, number, one.name, sizes, _each(pages, one.pages), (0, one.pages[0]), notes)
    channels = tuple(Channel(name or None) for name in one.channels) if len(one.channels) == image.size_c else image.channels
    if image.size_c == 1:
        channels = (Channel(series.metamorph_name(text)),)
    ifds = pages.ifds(0)
    image = replace(image, channels=channels, sizes=_resolution(ifds, one.pages[0], None))
    return image if one.name else _measured(image, text, ifds, one)  # a thumbnail repeats the slide's description


def _measured(image: Image, text: str, ifds: Ifds, one: series.Series) -> Image:
    """The image with what slide scanners state beside the resolution tags, `text` being the file's first description."""
    stated = slides.optics(text, image.width, image.height)
    sizes = image.sizes | stated.sizes if stated.measured else stated.sizes | image.sizes
    spacing = ndpi.spacing(ifds, one.pages) if one.focal else None
    return replace(
        image,
        sizes=sizes | ({"z": spacing} if spacing else {}),
        magnification=stated.magnification or (ndpi.magnification(ifds, one.pages[0]) if ifds.ndpi else None),
    )


def _samples(pages: Pages, ifd: Ifd) -> int:
    shown = pages.kind(0, ifd)[1]
    return shown.samples * shown.planes


def _stack(path: str, pages: Pages, chain: list[Ifd], stack: imagej.Stack) -> Image:
    """An ImageJ stack; more planes than pages lie behind the first page's, without pages of their own."""
    ifds = pages.ifds(0)
    _, shown = pages.kind(0, chain[0])
    if stack.images > len(chain) and not (len(chain) == 1 and len(ifds.integers(chain[0], tags.STRIP_OFFSETS)) == 1):
        stack.c, stack.z, stack.t = 1, len(chain), 1
    number = stack.c * stack.z * stack.t
    listed = _behind(pages, chain, number) if number > len(chain) else _each(pages, chain)
    notes = []
    if stack.images > number:
        notes.append(f"its description states {stack.images} planes, the file has {number}: another program cut it and kept the text")
    image = assembled(path, pages, 0, "", (stack.t, stack.c * shown.samples * shown.planes, stack.z), listed, (0, chain[0]), notes)
    tag = chain[0].tags.get(imagej.METADATA)
    data = ifds.raw(tag) if tag else b""
    colors = imagej.colors(ifds.integers(chain[0], imagej.BYTE_COUNTS).tolist(), data, ifds.order)
    channels = tuple(Channel(color=color) for color in colors) if len(colors) == image.size_c else image.channels
    return replace(image, channels=channels, sizes=_resolution(ifds, chain[0], stack.unit) | stack.sizes)


def _shaped(path: str, pages: Pages, chain: list[Ifd], text: str) -> Image | None:
    """A stack as tifffile or SCIFIO describe it in their own ways; None where that does not fit the pages."""
    axes = shaped.parse(text)
    if axes is None and not scifio.is_scifio(text):
        return None
    layout, shown = pages.kind(0, chain[0])
    axes = axes or scifio.parse(text, shown.stored_samples)
    if axes is None:
        return None
    width, height = pages.layouts[layout].width, pages.layouts[layout].height
    there = len(chain) * shown.planes
    more = len(chain) == 1 and pages.layouts[layout].raw  # planes may lie behind the only page
    if axes.crossed(height, width, shown.stored_samples, None if more else there):
        raise UnsupportedInputError(
            f"its array has the axes {axes.letters} of {axes.shape}, so its pages of {width} x {height} pixels are no planes of y and x",
            source=path,
            hint="write it with axes that end in YX, or in YXS for colours",
        )
    count = axes.planes(height, width, shown.stored_samples)
    if count is None or not (count == there or more):
        return None
    listed = _behind(pages, chain, count // shown.planes) if count > there else _each(pages, chain)
    sizes, order = axes.sizes(shown.stored_samples)
    image = assembled(path, pages, 0, "", sizes, [listed[index] for index in order], (0, chain[0]), axes.notes)
    return replace(image, sizes=_resolution(pages.ifds(0), chain[0], None) | axes.steps)


def _ndtiff(path: str, pages: Pages, chain: list[Ifd]) -> Image | None:
    """A stack of which each page says where it is; None where not all do, or they fill no grid."""
    ifds = pages.ifds(0)
    if ndtiff.METADATA not in chain[0].tags or not series.alike(ifds, chain):
        return None
    positions = []
    for ifd in chain:
        place = ndtiff.position(ifds.text(ifd, ndtiff.METADATA, ndtiff.MAX_PAGE))
        if place is None:
            return None
        positions.append(place)
    grid = ndtiff.grid(positions)
    if grid is None:
        return None
    samples = _samples(pages, chain[0])
    t, c, z = grid.sizes
    listed = _each(pages, [chain[number] for number in grid.order])
    image = assembled(path, pages, 0, "", (t, c * samples, z), listed, (0, chain[0]), [])
    channels = tuple(Channel(name or None) for name in grid.channels for _ in range(samples))
    return replace(image, channels=channels, sizes=_resolution(ifds, chain[0], None))


def _each(pages: Pages, chain: list[Ifd]) -> list[Plane | None]:
    """The planes of pages, one after the other, and of each its samples."""
    return [pages.plane(0, ifd, sample) for ifd in chain for sample in range(pages.kind(0, ifd)[1].planes)]


def _behind(pages: Pages, chain: list[Ifd], count: int) -> list[Plane | None]:
    """Planes one behind the other after a single page. Raises InputError where its pixels are not stored raw or the file ends."""
    layout, shown = pages.kind(0, chain[0])
    kind, ifds = pages.layouts[layout], pages.ifds(0)
    nbytes = kind.segment_bytes * -(-kind.height // kind.segment_height) * shown.planes
    begin = int((ifds.integers(chain[0], tags.STRIP_OFFSETS)[:1].tolist() or [0])[0])
    end = begin + nbytes * count
    possible = len(chain) == 1 and kind.raw and not kind.cut_across and shown.samples == shown.stored_samples
    if not possible or end > ifds.size or begin < chain[0].offset < end or count > MAX_PLANES:
        raise InputError(
            f"{count} planes are stated, but {len(chain)} pages are there; the file is cut off or was not finished", source=pages.paths[0]
        )
    return [pages.plane(0, chain[0], sample) for sample in range(count * shown.planes)]


def _resolution(ifds: Ifds, ifd: Ifd, unit: str | None) -> dict[str, AxisSize]:
    """Pixel sizes from XResolution and YResolution, in `unit` as OME spells it, or as ResolutionUnit says."""
    sizes = {}
    for axis, code in (("x", tags.X_RESOLUTION), ("y", tags.Y_RESOLUTION)):
        value = ifds.rational(ifd, code)
        if value is None:
            continue
        if unit is not None:
            size = omevalues.axis_size(1 / value, unit, omevalues.LENGTHS)
        else:
            length = _RESOLUTION.get(ifds.integer(ifd, tags.RESOLUTION_UNIT, 2))
            size = omevalues.axis_size(length / value, "\u00b5m", omevalues.LENGTHS) if length else None
        if size:
            sizes[axis] = size
    return sizes
