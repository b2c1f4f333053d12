"""Boxes of an image's five axes: the one place where pixels become chunks, chunks objects, and a level's region that of the next.

All three are one operation, `divided`: by the pixels of a chunk, by the chunks of an object, by the pixels of a level that make one of the
next. It rounds outwards, so the result holds everything that the region touches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from operator import add, floordiv, mul, sub

AXES = ("t", "c", "z", "y", "x")
# A position, a size or a factor: one whole number for each of AXES.
Index = tuple[int, int, int, int, int]

C, Z, Y, X = 1, 2, 3, 4


def ceil_div(a: int, b: int) -> int:
    """`a / b` rounded up, for non-negative `a` and positive `b`."""
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Region:
    """From `start` to `stop` (excluded) along each of AXES, in whatever unit its user says: pixels of a level, or chunks."""

    start: Index
    stop: Index

    @property
    def shape(self) -> Index:
        """Its extent along each axis."""
        return _each(sub, self.stop, self.start)

    @property
    def size(self) -> int:
        """How many positions it holds."""
        return prod(self.shape)

    def divided(self, by: Index) -> "Region":
        """What it touches in a grid whose cells have the size `by`, in cells."""
        return Region(_each(floordiv, self.start, by), _each(ceil_div, self.stop, by))

    def scaled(self, by: Index) -> "Region":
        """The ground of its cells, of the size `by` each: the inverse of `divided`."""
        return Region(_each(mul, self.start, by), _each(mul, self.stop, by))

    def clipped(self, shape: Index) -> "Region":
        """Its part within an array of that shape."""
        return Region(_each(min, self.start, shape), _each(min, self.stop, shape))

    def within(self, origin: "Region") -> "Region":
        """The same, counted from the start of `origin`."""
        return Region(_each(sub, self.start, origin.start), _each(sub, self.stop, origin.start))

    def is_within(self, other: "Region") -> bool:
        """Whether all of it is in `other`."""
        return all(a <= b for a, b in zip(other.start, self.start, strict=True)) and all(map(int.__le__, self.stop, other.stop))

    def moved(self, by: Index) -> "Region":
        """The same, `by` further along each axis: the inverse of `within`."""
        return Region(_each(add, self.start, by), _each(add, self.stop, by))

    def along(self, axis: int, start: int, stop: int) -> "Region":
        """The same with another range of one axis (a place in AXES)."""
        return Region(_with(self.start, axis, start), _with(self.stop, axis, stop))

    def cut(self, step: Index, order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Iterator["Region"]:
        """Its parts between multiples of `step`, the last axis of `order` (places in AXES) the fastest; one after another, never a list."""

        def parts(region: Region, axes: tuple[int, ...]) -> Iterator[Region]:
            if not axes:
                yield region
                return
            axis, n = axes[0], step[axes[0]]
            start, end = region.start[axis], region.stop[axis]
            while start < end:
                stop = min((start // n + 1) * n, end)
                yield from parts(region.along(axis, start, stop), axes[1:])
                start = stop

        return parts(self, order)

    def indices(self) -> Iterator[Index]:
        """Every position in it, the last axis the fastest."""
        return product(*(range(a, b) for a, b in zip(self.start, self.stop, strict=True)))  # type: ignore[return-value]


def _each(of: Callable[[int, int], int], a: Index, b: Index) -> Index:
    return of(a[0], b[0]), of(a[1], b[1]), of(a[2], b[2]), of(a[3], b[3]), of(a[4], b[4])


def _with(index: Index, axis: int, value: int) -> Index:
    t, c, z, y, x = (value if place == axis else old for place, old in enumerate(index))
    return t, c, z, y, x
