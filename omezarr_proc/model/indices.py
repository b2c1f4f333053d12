"""Indices that people name, as ranges: `0,2-4`."""

from collections.abc import Sequence


def ranges(indices: Sequence[int]) -> str:
    """Ascending indices as a person writes them: `0,2-4`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


class Indices(tuple[int, ...]):
    """Ascending indices that are written as `0,2-4`."""

    __slots__ = ()

    def __str__(self) -> str:
        return ranges(self)
