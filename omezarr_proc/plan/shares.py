"""How a batch is cut into the shares of N parts: a function of the images' headers and N alone, so that nobody has to be asked. Pure.

A small image is one part's, whole; the largest are given out first, each to whoever has least. What is left to a fair share is filled with
the large images, laid end to end and cut between whole *lots*: boxes of the base level that hold whole objects of the levels 0 to `last`,
whatever bands a machine's memory makes of them. The levels above are made by whoever comes last. The lots of a plate are its fields.

Shares differ from the mean by no more than the largest thing that is not cut: an image of a tenth of a share, or a lot.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import accumulate, groupby, product
from math import prod

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Index, Region, X, Y, ceil_div
from omezarr_proc.plan.access import ACCESSES
from omezarr_proc.plan.passes import MAX_AMPLIFICATION, ORDER, first_ratio, narrowest

# What an image takes beside its pixels, in bytes of pixels: opening, flushing, publishing.
IMAGE_BYTES = 1 << 20
# An image above this part of a share may be cut where it crosses from one share into the next; a lot should be no larger than that.
SMALL = 10
# Below this an image is only cut where it is more than a share: its pieces would take longer to begin than to make.
WORTH_BYTES = 64 << 20
# Parts make at least the levels 0 to 2: whoever comes last has a 1/48 of the pixels left to make.
LEAST_LAST = 2
# Lots lie side by side in a share, so the segments that cross its sides are counted for a row of so many, or half of those there are.
_ABREAST = 8


@dataclass(frozen=True)
class Cut:
    """A way to cut an image: `last`, the level up to which parts make it; `lot` and `shape`, the base level's, in its pixels."""

    last: int
    lot: Index
    shape: Index

    @property
    def grid(self) -> Region:
        """All lots."""
        return Region((0, 0, 0, 0, 0), self.shape).divided(self.lot)

    @property
    def total(self) -> int:
        """Pixels of the base level."""
        return prod(self.shape)

    @property
    def most(self) -> int:
        """Of these in a lot, at most."""
        return prod(map(min, self.lot, self.shape))

    def ends(self) -> Iterator[int]:
        """How many pixels of the base level there are up to the end of each lot."""
        sides = [[min(n, size - start) for start in range(0, size, n)] for n, size in zip(self.lot, self.shape, strict=True)]
        return accumulate(prod(lot) for lot in product(*(sides[axis] for axis in ORDER)))

    def regions(self, start: int, stop: int) -> list[Region]:
        """The lots `start` to `stop - 1` as boxes of pixels of the base level, as few as there can be, in their order."""
        sizes = [self.grid.shape[axis] for axis in ORDER]
        found = []
        for ranges in _boxes(start, stop, sizes):
            region = self.grid
            for axis, (first, end) in zip(ORDER, ranges, strict=True):
                region = region.along(axis, first, end)
            found.append(region.scaled(self.lot).clipped(self.shape))
        return found


@dataclass(frozen=True)
class FieldCut:
    """The way to cut a plate: between its fields, of which each has so much work."""

    works: tuple[int, ...]

    @property
    def total(self) -> int:
        """The work of all."""
        return sum(self.works)

    @property
    def most(self) -> int:
        """The work of the largest."""
        return max(self.works)

    def ends(self) -> Iterator[int]:
        """How much there is up to the end of each field."""
        return accumulate(self.works)


@dataclass(frozen=True)
class Weight:
    """What is to be shared out of an image or plate: its work in bytes of pixels of all levels, and the ways to cut it, the best first."""

    work: int
    cuts: tuple[Cut | FieldCut, ...] = ()

    @property
    def of_plate(self) -> bool:
        """Whether it is cut between fields, each of which is of use by itself."""
        return any(isinstance(cut, FieldCut) for cut in self.cuts)


@dataclass(frozen=True)
class Piece:
    """The lots `start` to `stop - 1` of an image, or fields of a plate, are those of part `part`, from 1."""

    part: int
    start: int
    stop: int


@dataclass(frozen=True)
class Shared:
    """Whose an image or a plate is: of one part whole, where `cut` is None, else in `pieces`."""

    cut: Cut | FieldCut | None
    pieces: tuple[Piece, ...]

    @property
    def parts(self) -> tuple[int, ...]:
        """All that have something of it."""
        return tuple(dict.fromkeys(piece.part for piece in self.pieces))


def work_of(pyramid: Pyramid) -> int:
    """What making an image takes, in bytes of pixels."""
    return IMAGE_BYTES + pyramid.pixels * pyramid.itemsize


def weight_of(image: Image, pyramid: Pyramid) -> Weight:
    """What is to be shared out of an image."""
    return Weight(work_of(pyramid), tuple(_cuts(image, pyramid)))


def weight_of_plate(pyramids: Sequence[Pyramid]) -> Weight:
    """The same of a plate, whose fields have these pyramids."""
    works = tuple(map(work_of, pyramids))
    return Weight(sum(works), (FieldCut(works),) if len(works) > 1 else ())


def cut_batch(weights: Sequence[Weight], parts: int) -> list[Shared]:
    """Whose each image of a batch is, of `parts` parts."""
    share = sum(weight.work for weight in weights) / parts
    large = [n for n, weight in enumerate(weights) if weight.cuts and weight.work > (share / SMALL if weight.work > WORTH_BYTES else share)]
    whole = sorted(set(range(len(weights))) - set(large), key=lambda n: (-weights[n].work, n))
    owners, filled = _given_out([weights[n].work for n in whole], parts)
    found = {n: Shared(None, (Piece(part, 0, 1),)) for n, part in zip(whole, owners, strict=True)}
    ends = list(accumulate(_room(filled, sum(weights[n].work for n in large))))
    before = 0
    for n in large:
        found[n] = _laid(weights[n], before, ends, share / SMALL)
        before += weights[n].work
    return [found[n] for n in range(len(weights))]


def _given_out(works: Sequence[int], parts: int) -> tuple[list[int], list[int]]:
    """The part, from 1, of each of these images, the largest first; and what each part has then."""
    least = [(0, part) for part in range(1, parts + 1)]
    heapify(least)
    owners = []
    for work in works:
        has, part = least[0]
        owners.append(part)
        heapreplace(least, (has + work, part))
    return owners, [has for has, _ in sorted(least, key=lambda entry: entry[1])]


def _room(filled: Sequence[int], work: int) -> list[int]:
    """How much of `work` each part takes, so that those that take some end up with as much as each other."""
    takers, had = 0, 0
    for has in sorted(filled):
        if takers and (work + had) <= has * takers:
            break
        takers, had = takers + 1, had + has
    level = ceil_div(work + had, takers)
    return [max(0, level - has) for has in filled]


def _laid(weight: Weight, before: int, ends: Sequence[int], most: float) -> Shared:
    """The pieces of an image that lies behind `before` bytes of others, where each part's room ends at `ends`."""
    cut = next((cut for cut in weight.cuts if cut.most * weight.work <= most * cut.total), None)
    cut = cut or min(weight.cuts, key=lambda cut: cut.most)  # of those that are alike the first has most levels
    lots = list(cut.ends())
    middles = (before + (a + b) * weight.work // (2 * lots[-1]) for a, b in zip([0, *lots], lots, strict=False))
    owners = [min(bisect_right(ends, middle), len(ends) - 1) + 1 for middle in middles]
    pieces, start = [], 0
    for part, run in groupby(owners):
        stop = start + sum(1 for _ in run)
        pieces.append(Piece(part, start, stop))
        start = stop
    return Shared(cut if len(pieces) > 1 else None, tuple(pieces))


def _cuts(image: Image, pyramid: Pyramid) -> Iterator[Cut]:
    """The ways to cut an image into more than one lot without decoding much twice: most levels first, then the smallest lots."""
    shape, top = pyramid.levels[0].shape, len(pyramid.levels) - 1
    for last in range(top, min(LEAST_LAST, top) - 1, -1):
        pass_ = narrowest(pyramid, None, first_ratio(image, pyramid), 0, last)
        t, c, z, y, x = pass_.band
        height, width = ceil_div(shape[Y], y) * y, ceil_div(shape[X], x) * x
        abreast = max(1, min(_ABREAST, width // x // 2))
        for lot, row in (((t, c, z, y, x), abreast), ((t, c, z, y, width), 1), ((t, c, z, height, width), 1)):
            cut = Cut(last, lot, shape)
            rows, columns = lot[Y] * pass_.ratio[Y], lot[X] * row * pass_.ratio[X]
            if cut.grid.size > 1 and (lot[Y] >= shape[Y] or _amplification(image, rows, columns) <= MAX_AMPLIFICATION):
                yield cut


def _amplification(image: Image, height: int, width: int) -> float:
    """As of bands. A part finds nothing that another has decoded, so neither streams nor spool files help."""
    return max(ACCESSES["rows" if layout.raw else "segment"].amplification(layout, 1, height, width) for layout in image.layouts)


def _boxes(start: int, stop: int, sizes: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """The numbers `start` to `stop - 1`, counted through a grid of `sizes` (the last axis the fastest), as boxes of it."""
    if not sizes:
        yield ()
        return
    inner = prod(sizes[1:])
    (first, head), (last, tail) = divmod(start, inner), divmod(stop, inner)
    if first == last:
        yield from (((first, first + 1), *box) for box in _boxes(head, tail, sizes[1:]))
        return
    if head:
        yield from (((first, first + 1), *box) for box in _boxes(head, inner, sizes[1:]))
        first += 1
    if first < last:
        yield ((first, last), *((0, size) for size in sizes[1:]))
    if tail:
        yield from (((last, last + 1), *box) for box in _boxes(0, tail, sizes[1:]))
