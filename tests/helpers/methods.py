"""What each DOWNSAMPLE_METHOD must give, by somebody else: an oracle for each. Whatever holds all methods goes through this table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import tensorstore as ts


@dataclass(frozen=True)
class Oracle:
    """`integers` is tensorstore's name of the method, `floats` makes one value of those of a box that are no NaN (there are some)."""

    integers: str
    floats: Callable[[np.ndarray], float]
    skips_nan: bool = True


def _most_frequent(values: np.ndarray) -> float:
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()] + 0.0  # the first of several


ORACLES = {
    "mean": Oracle("mean", lambda values: values.astype(np.float64).mean()),
    "nearest": Oracle("stride", lambda values: values[0], skips_nan=False),
    "mode": Oracle("mode", _most_frequent),
    "max": Oracle("max", lambda values: values.max() + 0.0),
    "min": Oracle("min", lambda values: values.min() + 0.0),
}


def reduced(pixels: np.ndarray, box: Sequence[int], method: str = "mean") -> np.ndarray:
    """`pixels` by boxes of so many along the last axes, at the edges over the pixels that exist."""
    factors = [1] * (pixels.ndim - len(box)) + list(box)
    oracle = ORACLES[method]
    if pixels.dtype.kind != "f":
        return np.asarray(ts.downsample(ts.array(np.ascontiguousarray(pixels)), factors, oracle.integers).read().result())
    out = np.empty([-(-size // n) for size, n in zip(pixels.shape, factors, strict=True)], pixels.dtype)
    for place in product(*map(range, out.shape)):
        values = pixels[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, factors, strict=True))].ravel()
        values = values[~np.isnan(values)] if oracle.skips_nan else values
        with np.errstate(invalid="ignore"):  # opposite infinities have no mean
            out[place] = oracle.floats(values) if values.size else np.nan
    return out
