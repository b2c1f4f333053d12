"""What an OME-TIFF says of itself where it is plainly one image in a file of its own: a seventh of what opening it takes.

Other pages are not looked at, so whether it can be converted only opening tells.
"""

import math
import os

from omezarr_proc.model.errors import ProcError
from omezarr_proc.tiff.describe import omexml
from omezarr_proc.tiff.describe.members import description
from omezarr_proc.tiff.describe.omevalues import OmeXmlError
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.budget import Budget
from omezarr_proc.tiff.file.files import Files


def bytes_of_one_image(path: str, budget: Budget) -> int | None:
    """The bytes of an image's pixels, as stated; None where the file has more than one, is of a set or a plate, or cannot be read so."""
    try:
        with Files(1, budget) as files:
            text = description(path, files, budget)
            if not omexml.is_ome(text):
                return None
            document = omexml.parse(text, budget)
            ifds = files.ifds(path)
            bits = ifds.integer(ifds.ifd(ifds.first), tags.BITS_PER_SAMPLE, 1)
    except (ProcError, OmeXmlError, OSError):
        return None
    if len(document.images) != 1 or document.plates or document.metadata_file:
        return None
    (image,) = document.images
    named = {(data.uuid, data.filename) for data in image.tiffdata}
    if not image.size or not named <= {(None, None), (None, os.path.basename(path)), (document.uuid, os.path.basename(path))}:
        return None
    return math.prod(image.size.values()) * math.ceil(bits / 8)
