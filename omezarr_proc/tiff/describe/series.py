"""Which pages of a TIFF without OME-XML or ImageJ description belong together, and what they are. Pure but for the tags it looks at.

Pages of one size and type are one stack: grey ones in z, colour ones in t (a stack of colour pictures is a sequence; that is also how
Bio-Formats reads it). Pages of different kinds are images of their own, as Bio-Formats has it, except the levels of a pyramid, of which
only the full resolution is an image, and what a slide scanner adds (label, macro, thumbnail, overview), which is named so.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from omezarr_proc.model.text import counted
from omezarr_proc.tiff.describe import ndpi
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import MAX_TEXT, Ifd, Ifds

REDUCED, MASK = 1, 4  # bits of NewSubfileType


@dataclass(kw_only=True)
class Series:
    """Pages that form one image, how they are called, and what was left out beside them."""

    pages: list[Ifd]
    name: str = ""
    channels: list[str] = field(default_factory=list)  # pages are channels of these names
    focal: bool = False  # pages are focal planes, as the file says
    notes: list[str] = field(default_factory=list)


def of(ifds: Ifds, chain: list[Ifd], text: str) -> list[Series]:
    """The series of a file with these pages and this first description."""
    if ifds.ndpi:
        return _ndpi(ifds, chain)
    if text.startswith("Aperio"):
        return _aperio(ifds, chain)
    if "<PerkinElmer-QPI-ImageDescription" in text[:2000]:
        return _qptiff(ifds, chain)
    whole = [ifd for ifd in chain if not ifds.integer(ifd, tags.NEW_SUBFILE_TYPE, 0) & (REDUCED | MASK)] or chain[:1]
    if chain[0] not in whole and _shape(ifds, chain[0])[:2] >= _shape(ifds, whole[0])[:2]:
        whole.insert(0, chain[0])
    left = len(chain) - len(whole)
    notes = [f"{counted(left, 'page')} marked as reduced resolution or mask left out"] if left else []
    if _pyramid(ifds, whole):
        return [Series(pages=whole[:1], notes=[*notes, _lower(len(whole) - 1)])]
    if alike(ifds, whole):
        return [Series(pages=whole, notes=notes)]
    return [Series(pages=[ifd], notes=notes) for ifd in whole]


def _lower(pages: int) -> str:
    return f"{counted(pages, 'page')} of lower resolution left out"


def alike(ifds: Ifds, chain: list[Ifd]) -> bool:
    """Whether all pages can be planes of one stack."""
    return len({_shape(ifds, ifd) for ifd in chain}) == 1


def metamorph_name(text: str) -> str | None:
    """The channel that MetaMorph and MetaXpress name in the description of a single plane."""
    match = re.search(r'<prop id="_IllumSetting_"[^>]*\bvalue="([^"]+)"', text) if text.startswith("<MetaData>") else None
    return match.group(1) if match else None


def _shape(ifds: Ifds, ifd: Ifd) -> tuple[int, ...]:
    """What must be equal for two pages to be planes of one stack: width, height, samples, bits, format, palette."""
    bits = ifds.integers(ifd, tags.BITS_PER_SAMPLE)
    formats = ifds.integers(ifd, tags.SAMPLE_FORMAT)
    palette = ifds.integer(ifd, tags.PHOTOMETRIC_INTERPRETATION, 1) == 3
    size = ifds.integer(ifd, tags.IMAGE_WIDTH, 0), ifds.integer(ifd, tags.IMAGE_LENGTH, 0)
    samples = ifds.integer(ifd, tags.SAMPLES_PER_PIXEL, 1)
    return (*size, samples, int(bits[0]) if len(bits) else 1, int(formats[0]) if len(formats) else 1, palette)


def _pyramid(ifds: Ifds, pages: list[Ifd]) -> bool:
    """Whether the pages are levels: tiled, of one type, each smaller than the one before by one factor."""
    if len(pages) < 2 or not all(tags.TILE_WIDTH in ifd.tags for ifd in pages):
        return False
    shapes = [_shape(ifds, ifd) for ifd in pages]
    if len({shape[2:] for shape in shapes}) != 1:
        return False
    for above, below in pairwise(shapes):
        factors = [above[axis] / max(below[axis], 1) for axis in (0, 1)]
        if not all(factor > 1.9 for factor in factors) or abs(factors[0] - factors[1]) > 0.05 * factors[0]:
            return False
    return True


def _aperio(ifds: Ifds, chain: list[Ifd]) -> list[Series]:
    """SVS: the first page is the slide; further tiled pages are levels; strips are thumbnail, label and macro."""
    found = [Series(pages=chain[:1], notes=[])]
    levels = 0
    for number, ifd in enumerate(chain[1:], 1):
        text, kind = ifds.text(ifd, tags.IMAGE_DESCRIPTION, MAX_TEXT), ifds.integer(ifd, tags.NEW_SUBFILE_TYPE, 0)
        if tags.TILE_WIDTH in ifd.tags:
            levels += 1
        elif number == 1 and kind == 0 and not re.search(r"\b(label|macro)\b", text):
            found.append(Series(pages=[ifd], name="thumbnail"))
        else:
            found.append(Series(pages=[ifd], name="label" if re.search(r"\blabel\b", text) or kind == 1 else "macro"))
    if levels:
        found[0].notes.append(_lower(levels))
    return found


def _ndpi(ifds: Ifds, chain: list[Ifd]) -> list[Series]:
    """NDPI: pages of the largest size are the slide in its focal planes."""
    full, smaller, aside = ndpi.levels(ifds, chain)
    notes = [_lower(smaller)] if smaller else []
    slide = [Series(pages=full, focal=True, notes=notes)] if alike(ifds, full) else [Series(pages=[ifd], notes=notes) for ifd in full]
    return slide + [Series(pages=[ifd], name=name) for ifd, name in aside]


def _qptiff(ifds: Ifds, chain: list[Ifd]) -> list[Series]:
    """PerkinElmer QPTIFF: the description of each page names its ImageType and, for fluorescence, its channel."""
    slide = Series(pages=[])
    found = [slide]
    levels = 0
    for ifd in chain:
        text = ifds.text(ifd, tags.IMAGE_DESCRIPTION, MAX_TEXT)
        match = re.search(r"<ImageType>\s*(\w+)\s*</ImageType>", text)
        kind = match.group(1).lower() if match else ""
        if kind == "fullresolution":
            slide.pages.append(ifd)
            name = re.search(r"<Name>([^<]*)</Name>", text)
            slide.channels.append(name.group(1).strip() if name else "")
        elif kind == "reducedresolution":
            levels += 1
        else:
            found.append(Series(pages=[ifd], name=kind or "thumbnail"))
    if levels:
        slide.notes.append(_lower(levels))
    if not slide.pages:
        slide.pages, found = chain[:1], [slide]
    return found
