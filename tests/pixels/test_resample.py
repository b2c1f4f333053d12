"""Resampling against numpy: each pixel repeated until both grids meet, then the mean of whole blocks."""

import math

import numpy as np
import pytest

from omezarr_proc.pixels.resample import resampled


@pytest.mark.parametrize("old", [(1, 1), (7, 5), (12, 30)])
@pytest.mark.parametrize("new", [(1, 1), (3, 5), (7, 11), (40, 2)])
def test_each_pixel_is_the_mean_of_what_it_covers(old: tuple[int, int], new: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    fine = picture.astype(np.int64)
    for axis in (0, 1):
        fine = np.repeat(fine, math.lcm(old[axis], new[axis]) // old[axis], axis=axis)
    rows, columns = (fine.shape[axis] // new[axis] for axis in (0, 1))
    sums = fine.reshape(new[0], rows, new[1], columns, 3).sum(axis=(1, 3))
    np.testing.assert_array_equal(resampled(picture, *new), np.rint(sums / (rows * columns)))


def test_as_large_as_before_is_the_same() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resampled(picture, 300, 200), picture)
