"""Opens a TIFF or OME-TIFF in the main process: which images it holds, where their planes are, what its metadata say. No pixels are read.

ome.py       OME-XML: planes by TiffData (`planes`), from all files of the set (`members`)
plain.py     ImageJ, axes by tifffile, SCIFIO and NDTiff, slides, plain pages
pages.py     every page looked at, and like ones told from unlike ones
"""

import re
from dataclasses import replace
from typing import Literal

from omezarr_proc.host.quiet import quiet_libraries
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.address import absolute
from omezarr_proc.model.errors import InputError, UnreadableInputError, UnsupportedInputError
from omezarr_proc.model.image import Image
from omezarr_proc.model.text import counted
from omezarr_proc.model.volume import ZDownsample
from omezarr_proc.tiff.describe import imagej, ome, omexml, plain
from omezarr_proc.tiff.describe import members as sets
from omezarr_proc.tiff.describe.assemble import Refused
from omezarr_proc.tiff.describe.omevalues import OmeXmlError
from omezarr_proc.tiff.describe.pages import Pages
from omezarr_proc.tiff.describe.reduced import stored_levels, take_reduced
from omezarr_proc.tiff.file.budget import Budget
from omezarr_proc.tiff.file.bytes import Bytes, Opener, open_bytes
from omezarr_proc.tiff.file.files import Files

MAX_IMAGES = 1000  # of a file, unless IMAGES asks for them
OPEN_FILES = 32

# Which images of a file are asked for.
Chosen = Literal["auto", "all"] | tuple[int, ...]

_ASIDE = re.compile(r"(?<![a-z])(label|macro|thumbnail|overview)(?![a-z])", re.IGNORECASE)


@quiet_libraries()
def open_images(
    path: str,
    *,
    images: Chosen = "auto",
    on_missing: str = "error",
    reduced_by: int = 1,
    z_downsample: ZDownsample = "none",
    budget: Budget | None = None,
    opener: Opener = open_bytes,
    refused: list[UnsupportedInputError] | None = None,
    to_srgb: bool = False,
    levels: bool = False,
) -> list[Image]:
    """The images of a file, with all members of its set.

    images      "auto": all but label, macro, thumbnail and overview, if there are no more than MAX_IMAGES; "all"; or which, from 0 on
    on_missing  "error", or "fill": planes that are not there become None
    reduced_by  take planes from a stored level that is exactly so many times smaller, where there is one
    z_downsample  what a base level so much smaller does to z
    budget      what it may take
    opener      opens a file by its path
    to_srgb     colours by an ICC profile become sRGB
    levels      each image is followed by the levels that the file has of it (see `stored_levels`)
    refused     gets the error of each chosen image that is not supported, where there are others; without it, one is an error of all

    Raises InputError, in one line, for whatever cannot be converted faithfully, LimitError and OutOfTimeError as the budget says.
    """
    path = absolute(path)
    budget = budget or Budget(source=path)
    files = _files(budget, opener)
    try:
        text = sets.description(path, files, budget)
        is_ome = omexml.is_ome(text)
        pages = Pages(files, lookup_tables=is_ome or imagej.is_imagej(text), sparse_allowed=not is_ome, budget=budget, to_srgb=to_srgb)
        pages.states.append(files.bytes(path).identity)
        most = MAX_IMAGES if images == "auto" else None
        found = ome.images(path, text, pages, on_missing == "fill", most) if is_ome else plain.images(path, text, pages, most)
        chosen = _chosen(path, found, images)
        errors = [one.error for one in chosen if isinstance(one, Refused)]
        if errors and (refused is None or len(errors) == len(chosen)):
            raise errors[0]
        if refused is not None:
            refused.extend(errors)
        reduced = [take_reduced(one, pages, reduced_by, z_downsample) for one in chosen if isinstance(one, Image)]
        return _finished([each for one in reduced for each in (one, *(stored_levels(one, pages) if levels else ()))], pages)
    except OmeXmlError as error:
        raise InputError(
            f"its OME-XML contradicts itself or the pages: {error}", source=path, hint="repair its ImageDescription or write the file anew"
        ) from error
    except OSError as error:
        refuse_silence(error)
        raise UnreadableInputError(
            f"cannot be read ({error.strerror or error})", source=path, hint="check the file and its folder"
        ) from error
    finally:
        files.close()


def _files(budget: Budget, opener: Opener) -> Files:
    """The files of a set, where one that cannot be opened is an InputError."""

    def opened(path: str) -> Bytes:
        try:
            return opener(path)
        except OSError as error:
            refuse_silence(error)
            hint = "check that it is there and readable"
            raise UnreadableInputError(f"cannot be opened ({error.strerror})", source=path, hint=hint) from error

    return Files(OPEN_FILES, budget, opened)


def _finished(images: list[Image], pages: Pages) -> list[Image]:
    """The images with what is known when all pages have been looked at: their files and the state of these, fingerprint and layouts."""
    files, states = tuple(pages.paths), tuple(dict.fromkeys(pages.states))
    return [_with_layouts(replace(image, files=files, fingerprint=pages.fingerprint, states=states), pages) for image in images]


def _with_layouts(image: Image, pages: Pages) -> Image:
    """Of all layouts the image's own, in the order in which its planes use them."""
    pages.budget.need()
    used = dict.fromkeys(plane.layout for plane in image.planes if plane is not None)
    own = {number: index for index, number in enumerate(used)}
    planes = tuple(
        plane if plane is None or own[plane.layout] == plane.layout else replace(plane, layout=own[plane.layout]) for plane in image.planes
    )
    return replace(image, planes=planes, layouts=tuple(pages.finished_layout(number) for number in own))


def _chosen(path: str, found: list[Image | Refused], images: Chosen) -> list[Image | Refused]:
    if images == "all":
        return found
    if images == "auto":
        return [image for image in found if not _ASIDE.search(image.name)] or found[:1]
    if absent := [number for number in images if number >= len(found)]:
        wanted = ", ".join(map(str, absent))
        raise UnsupportedInputError(
            f"IMAGES asks for image {wanted}, but the file has {counted(len(found), 'image')}, counted from 0", source=path
        )
    return [found[number] for number in images]
