"""A picture of the whole image as viewers show it first: a look without a browser, for the log, the mail, the thumbnail.

Beside `a.ome.zarr` it is `a.ome.zarr.png`, a name that no dataset and no other dataset's picture can have; in a folder that is a dataset
itself, `ome.zarr.png`. It shows the image as `picture` composes it, a plate as a contact sheet. Where pixels are not as high as they are
wide the picture is stretched to what the scales say.
"""

import math

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.build.picture import LONGER_SIDE, aspect, compose, fitted
from omezarr_proc.build.sheet import SHEET_SIDE, compose_sheet
from omezarr_proc.check.collection import open_collection
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address, Place
from omezarr_proc.pixels.resample import resampled
from omezarr_proc.store.places import objects_at, put_at
from omezarr_proc.store.read import open_dataset
from omezarr_proc.store.remote import Bucket

THUMBNAIL = 256  # pixels of each side
JPEG = (".jpg", ".jpeg")
_JPEG_LEVEL = 90
_MOST_COMPOSED = 4096  # pixels of the longer side from which a thumbnail is cut out


def preview_path(target: Place) -> Place:
    """Where the picture of a dataset is (for `target` see `hidden.inside`)."""
    return target.parent / f"{target.name}.png"


def is_there(picture: Place) -> bool:
    """Whether there is a picture. Raises OutputError where that cannot be found out."""
    try:
        return objects_at(picture.parent).exists(picture.name)
    except OSError as error:
        raise store_error("cannot be looked for", error, picture) from error


def is_current(picture: Place, dataset: Place) -> bool:
    """Whether the picture is there and not older than its dataset."""
    made, *roots = (_changed(place) for place in (picture, dataset / "zarr.json", dataset / ".zattrs"))
    return made is not None and all(root is None or root <= made for root in roots)


def _changed(place: Place) -> float | None:
    """When something was written, by the clock of where it lies; None where that cannot be told."""
    try:
        return Bucket(place.parent).changed(place.name) if isinstance(place, Address) else place.stat().st_mtime_ns
    except OSError:
        return None


def write_preview(target: Place, dataset: Place, longer: int = 0) -> None:
    """Make the picture `target` of a finished dataset, a JPEG if it is called so, else a PNG; it appears when it is complete.

    longer  pixels of its longer side at most; 0: LONGER_SIDE to twice that, as the levels have them

    Raises InputError, OutputError.
    """
    found = open_dataset(dataset)
    if (collection := open_collection(found)) and collection.images:
        _write(target, compose_sheet(found, collection, longer or SHEET_SIDE))
        return
    picture = compose(found, longer or LONGER_SIDE)
    height, width = fitted(picture.shape[0], picture.shape[1], aspect(found), longer)
    _write(target, picture if (height, width) == picture.shape[:2] else resampled(picture, height, width))


def write_thumbnail(target: Place, dataset: Place) -> None:
    """Make the picture `target` of THUMBNAIL x THUMBNAIL pixels of the middle of a finished dataset. Raises InputError, OutputError."""
    found = open_dataset(dataset)
    tall = aspect(found)
    height, width = found.arrays[0].shape[-2:] if found.arrays else (1, 1)
    long = max(height * tall, width) / min(height * tall, width)
    picture = compose(found, min(math.ceil(THUMBNAIL * long), _MOST_COMPOSED))
    height, width = picture.shape[:2]
    side = min(height * tall, width)  # in pixels' widths
    rows, columns = max(1, round(side / tall)), max(1, round(side))
    top, left = (height - rows) // 2, (width - columns) // 2
    _write(target, resampled(picture[top : top + rows, left : left + columns], THUMBNAIL, THUMBNAIL))


def _write(target: Place, picture: NDArray[np.uint8]) -> None:
    from imagecodecs import jpeg8_encode, png_encode

    encoded = bytes(jpeg8_encode(picture, level=_JPEG_LEVEL) if target.name.lower().endswith(JPEG) else png_encode(picture))
    put_at(target, encoded, "preview")
