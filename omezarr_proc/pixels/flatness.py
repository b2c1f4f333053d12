"""Whether pixels look like labels: by flat areas whose values are no neighbours. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the pixels of labels so many at least are like those to their right and below; of noise hardly any, of smooth shades some.
_FLAT = 0.75
# Where labels meet, so many pairs at least have values between them that are there elsewhere; where shades meet, hardly any.
_JUMPS = 0.5
# Fewer pixels of objects say nothing.
_ENOUGH = 256


def is_rough(window: NDArray[Any]) -> bool:
    """Whether most pixels of `window[h, w]` differ from the one beside them, as noise does."""
    return bool((window[:, 1:] != window[:, :-1]).mean() > 0.5) if window.shape[1] > 1 else False


def are_flat(windows: Sequence[NDArray[Any]]) -> bool:
    """Whether integers of `windows[h, w]`, which are parts of one image, are labels rather than intensities.

    The most frequent value, which is background, and the extremes, where intensities are cut off, count on neither side of a pair.
    """
    values, counts = np.unique(np.concatenate([window.ravel() for window in windows]), return_counts=True)
    if len(values) < 4:
        return False
    odd = {int(values[counts.argmax()]), int(values[0]), int(values[-1])}
    flat = pixels = jumps = edges = 0
    for window in windows:
        ranks = np.searchsorted(values, window)
        here = ranks[:-1, :-1]
        object_ = ~np.isin(window[:-1, :-1], list(odd))
        right, below = ranks[:-1, 1:], ranks[1:, :-1]
        pixels += int(object_.sum())
        flat += int((object_ & (here == right) & (here == below)).sum())
        for other in (right, below):
            edge = object_ & (here != other)
            edges += int(edge.sum())
            jumps += int((edge & (np.abs(here - other) > 1)).sum())
    return pixels >= _ENOUGH and flat >= _FLAT * pixels and jumps >= _JUMPS * edges
