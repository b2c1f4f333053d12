"""Stored pyramid levels: one in place of full resolution, where the user asks for it and it is exactly so much smaller; or all."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Image, Plane
from omezarr_proc.model.pyramid import base_z_factor
from omezarr_proc.model.volume import ZDownsample
from omezarr_proc.tiff.describe.pages import Pages
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import Ifd

MAX_LEVELS = 64


def take_reduced(image: Image, pages: Pages, factor: int, z_downsample: ZDownsample) -> Image:
    """The image with planes that are stored `factor` times smaller (sides rounded up), or as it is, with a note why.

    z_downsample  what the base level does to z: a stored level has all planes, so it fits where that does not halve z

    Looked for in each plane's SubIFDs and, for an image of one page, among the pages of its file.
    """
    if factor == 1:
        return image
    if base_z_factor(image, factor, z_downsample) > 1:
        note = "the base level halves z, which no stored level does, so full resolution is read (or set Z_DOWNSAMPLE=none)"
        return replace(image, notes=(*image.notes, note))
    exactly = -(-image.width // factor), -(-image.height // factor)
    planes = _planes(image, pages, lambda size: size == exactly)
    if planes is None:
        note = f"no stored level is exactly {factor} times smaller (and of the same type), so full resolution is read"
        return replace(image, notes=(*image.notes, note))
    note = f"the stored level that is {factor} times smaller is taken as base level (USE_EXISTING_RESOLUTIONS)"
    return replace(image, planes=planes, reduced_by=factor, notes=(*image.notes, note))


def stored_levels(image: Image, pages: Pages) -> Iterator[Image]:
    """The levels that the file has of an image, as images with their planes: those that are 2, 4, 8 ... times smaller (`reduced_by`).

    Sides may be rounded either way, as writers of pyramids do; the layouts of the planes have them. One that cannot be read is left out.
    """
    factor = 2
    while max(image.width, image.height) >= factor:
        with suppress(InputError):
            planes = _planes(image, pages, partial(_is_level, image, factor))
            if planes is not None:
                yield replace(image, planes=planes, reduced_by=factor)
        factor *= 2


def _is_level(image: Image, factor: int, size: tuple[int, int]) -> bool:
    return all(abs(side * factor - full) < factor and side for side, full in zip(size, (image.width, image.height), strict=True))


def _planes(image: Image, pages: Pages, fits: Callable[[tuple[int, int]], bool]) -> tuple[Plane | None, ...] | None:
    """The planes of a stored level whose width and height `fits`; None where one of them has none."""
    alone = len({plane.ifd for plane in image.planes if plane is not None}) == 1
    found = []
    for plane in image.planes:
        found.append(None if plane is None else _reduced(plane, pages, fits, alone))
        if plane is not None and found[-1] is None:
            return None
    return tuple(found)


def _reduced(plane: Plane, pages: Pages, fits: Callable[[tuple[int, int]], bool], alone: bool) -> Plane | None:
    ifds = pages.ifds(plane.file)
    full = pages.layouts[plane.layout]
    candidates = [ifds.ifd(int(offset)) for offset in ifds.integers(ifds.ifd(plane.ifd), tags.SUB_IFDS)[:MAX_LEVELS]]
    if alone:
        candidates += [ifd for ifd in pages.chains[plane.file] if ifd.offset != plane.ifd]
    for ifd in candidates:
        if not fits(_size(pages, plane.file, ifd)):
            continue
        layout = pages.layouts[pages.kind(plane.file, ifd)[0]]
        if (layout.samples, layout.dtype, layout.profile) == (full.samples, full.dtype, full.profile):
            return replace(pages.plane(plane.file, ifd), sample=plane.sample)
    return None


def _size(pages: Pages, file: int, ifd: Ifd) -> tuple[int, int]:
    ifds = pages.ifds(file)
    return ifds.integer(ifd, tags.IMAGE_WIDTH, 0), ifds.integer(ifd, tags.IMAGE_LENGTH, 0)
