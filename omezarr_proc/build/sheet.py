"""A contact sheet: of a plate the first field of each well, in the well's place; of another collection its images, one after another."""

import math

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.build.picture import aspect, compose, fitted
from omezarr_proc.check.collection import Collection
from omezarr_proc.pixels.resample import resampled
from omezarr_proc.store.read import Dataset, metadata_of, open_dataset

SHEET_SIDE = 1024  # pixels of the longer side, about
GAP = 2  # pixels between two wells
SMALLEST, LARGEST = 8, 128  # pixels of a well's side
_EMPTY = 24  # grey of a well without an image


def compose_sheet(root: Dataset, collection: Collection, longer: int) -> NDArray[np.uint8]:
    """The picture `[h, w, 3]`, about `longer` pixels along its longer side. Raises InputError where an image cannot be shown."""
    shown, (rows, columns) = _places(root, collection)
    side = min(max(longer // max(rows, columns) - GAP, SMALLEST), LARGEST)
    sheet = np.zeros((rows * (side + GAP) + GAP, columns * (side + GAP) + GAP, 3), np.uint8)
    for row, column in np.ndindex(rows, columns):
        cell = _cell(sheet, row, column, side)
        cell[:] = _EMPTY
        if path := shown.get((row, column)):
            picture = _fitting(open_dataset(root.path / path), side)
            height, width = picture.shape[:2]
            top, left = (side - height) // 2, (side - width) // 2
            cell[top : top + height, left : left + width] = picture
    return sheet


def _places(root: Dataset, collection: Collection) -> tuple[dict[tuple[int, int], str], tuple[int, int]]:
    """The path of the image at each row and column, and how many rows and columns there are."""
    plate = metadata_of(root.attributes, "plate").get("plate")
    if plate is None:
        columns = math.isqrt(len(collection.images) - 1) + 1
        shown = {divmod(index, columns): path for index, path in enumerate(collection.images)}
        return shown, (-(-len(collection.images) // columns), columns)
    first: dict[str, str] = {}
    for path in collection.images:
        first.setdefault(path.rpartition("/")[0], path)
    wells = {(well["rowIndex"], well["columnIndex"]): first[well["path"]] for well in plate["wells"] if well["path"] in first}
    return wells, (len(plate["rows"]), len(plate["columns"]))


def _fitting(field: Dataset, side: int) -> NDArray[np.uint8]:
    picture = compose(field, side)
    height, width = fitted(picture.shape[0], picture.shape[1], aspect(field), side)
    return picture if (height, width) == picture.shape[:2] else resampled(picture, height, width)


def _cell(sheet: NDArray[np.uint8], row: int, column: int, side: int) -> NDArray[np.uint8]:
    top, left = (GAP + index * (side + GAP) for index in (row, column))
    return sheet[top : top + side, left : left + side]
