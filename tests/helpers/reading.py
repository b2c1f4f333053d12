"""Whole planes through the reader, and what is refused."""

import os

import numpy as np
import pytest

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe import images as tiff
from omezarr_proc.tiff.read.reader import Reader


def opened(path, **options):
    image = tiff.open_images(str(path))[0]
    return image, Reader(image, **options)


def collect(blocks, rect, samples, dtype):
    """The rectangle from its blocks; checks that they are disjoint, cover it, and come in order."""
    out = np.zeros((rect.height, rect.width, samples), dtype)
    seen = np.zeros((rect.height, rect.width), np.uint8)
    row = None
    for y, x, block in blocks:
        assert block.dtype == np.dtype(dtype)
        assert block.dtype.isnative
        if row is not None and y == row[0]:
            assert (block.shape[0], x) == (row[1], row[2])
        elif row is not None:
            assert y == row[0] + row[1]
            assert x == rect.x0
        row = y, block.shape[0], x + block.shape[1]
        where = np.s_[y - rect.y0 : y - rect.y0 + block.shape[0], x - rect.x0 : x - rect.x0 + block.shape[1]]
        out[where] = block
        seen[where] += 1
    assert (seen == 1).all()
    return out


def accesses(layout):
    return ["segment", *(["rows"] if layout.raw else []), *(["stream"] if layout.stream else [])]


def whole(reader, plane, access="segment"):
    layout = reader.image.layouts[plane.layout]
    rect = Rect(0, layout.height, 0, layout.width)
    return collect(reader.read(plane, rect, access), rect, layout.samples, layout.dtype)


def refusal(path, **options):
    with pytest.raises(InputError) as error:
        tiff.open_images(str(path), **options)
    message = str(error.value)
    assert "\n" not in message
    assert os.path.basename(path) in message
    return message
