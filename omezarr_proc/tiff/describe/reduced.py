"""A stored pyramid level in place of full resolution, where the user asks for it and one is exactly so much smaller."""

from dataclasses import replace

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
    alone = len({plane.ifd for plane in image.planes if plane is not None}) == 1
    planes = [None if plane is None else _reduced(image, plane, pages, factor, alone) for plane in image.planes]
    if any(found is None for found, plane in zip(planes, image.planes, strict=True) if plane is not None):
        note = f"no stored level is exactly {factor} times smaller (and of the same type), so full resolution is read"
        return replace(image, notes=(*image.notes, note))
    note = f"the stored level that is {factor} times smaller is taken as base level (USE_EXISTING_RESOLUTIONS)"
    return replace(image, planes=tuple(planes), reduced_by=factor, notes=(*image.notes, note))


def _reduced(image: Image, plane: Plane, pages: Pages, factor: int, alone: bool) -> Plane | None:
    ifds = pages.ifds(plane.file)
    size = -(-image.width // factor), -(-image.height // factor)
    full = pages.layouts[plane.layout]
    candidates = [ifds.ifd(int(offset)) for offset in ifds.integers(ifds.ifd(plane.ifd), tags.SUB_IFDS)[:MAX_LEVELS]]
    if alone:
        candidates += [ifd for ifd in pages.chains[plane.file] if ifd.offset != plane.ifd]
    for ifd in candidates:
        if _size(pages, plane.file, ifd) != size:
            continue
        layout = pages.layouts[pages.kind(plane.file, ifd)[0]]
        if (layout.samples, layout.dtype, layout.profile) == (full.samples, full.dtype, full.profile):
            return replace(pages.plane(plane.file, ifd), sample=plane.sample)
    return None


def _size(pages: Pages, file: int, ifd: Ifd) -> tuple[int, int]:
    ifds = pages.ifds(file)
    return ifds.integer(ifd, tags.IMAGE_WIDTH, 0), ifds.integer(ifd, tags.IMAGE_LENGTH, 0)
