"""Shares of a batch: all of it, each lot once, in pieces that any machine's bands fit into, and balanced."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyramids import picture, pyramid

from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid, make_pyramid
from omezarr_proc.model.region import X, Y
from omezarr_proc.plan.passes import at, band_count, first_passes
from omezarr_proc.plan.shares import SMALL, Shared, Weight, cut_batch, weight_of

NAMES = ("t", "c", "z", "y", "x")


def slide(height: int, width: int, segment: tuple[int, int] = (256, 256), *, raw: bool = False, **sizes: int) -> Image:
    image = picture(height, width, **sizes)
    layout = replace(image.layouts[0], segment_height=segment[0], segment_width=min(segment[1], width), raw=raw)
    return replace(image, layouts=(layout,))


def works_of(parts: int, weights: Sequence[Weight]) -> tuple[list[int], int]:
    """What each part has by the lots that it is given, and the largest thing that was not cut."""
    has, largest = [0] * parts, 0
    for weight, shared in zip(weights, cut_batch(weights, parts), strict=True):
        if shared.cut is None:
            has[shared.pieces[0].part - 1] += weight.work
            largest = max(largest, weight.work)
            continue
        ends = [0, *shared.cut.ends()]
        for piece in shared.pieces:
            has[piece.part - 1] += weight.work * (ends[piece.stop] - ends[piece.start]) // ends[-1]
        largest = max(largest, weight.work * shared.cut.most // ends[-1])
    return has, largest


@given(st.data())
def test_pieces_hold_each_pixel_once_in_boxes_that_any_plan_has_whole_bands_in(data: st.DataObject) -> None:
    size = st.integers(1, 700)
    image = slide(data.draw(size), data.draw(size), raw=True, t=data.draw(st.integers(1, 2)), c=2, z=data.draw(st.integers(1, 3)))
    levels = pyramid(image, tile=64, bundled=data.draw(st.booleans()), least=16)
    weight = weight_of(image, levels)
    parts = data.draw(st.integers(2, 9))
    (shared,) = cut_batch([weight], parts)
    assume(shared.cut)
    assert shared.cut
    seen = np.zeros(levels.levels[0].shape, np.uint8)
    for piece in shared.pieces:
        for region in shared.cut.regions(piece.start, piece.stop):
            seen[tuple(map(slice, region.start, region.stop))] += 1
            for number in range(shared.cut.last + 1):
                level = levels.levels[number]
                here = region.divided(levels.ratio(0, number))
                for start, stop, n, end in zip(here.start, here.stop, level.object, level.shape, strict=True):
                    assert start % n == 0
                    assert stop % n == 0 or stop == end
    assert (seen == 1).all()
    assert len(shared.parts) == len(shared.pieces)


@pytest.mark.parametrize("segment", [(256, 256), (240, 240), (1, 9000), (4096, 9000), (9000, 9000)], ids=str)
def test_cutting_decodes_next_to_nothing_twice(segment: tuple[int, int]) -> None:
    image = slide(9000, 9000, segment)
    levels = pyramid(image, 2, tile=256, least=256)
    shared = cut_batch([weight_of(image, levels)], 4)[0]
    if segment == (9000, 9000):  # one segment that can only be decoded whole
        assert shared.cut is None
        return
    assert shared.cut
    decoded, whole = 0, 1
    for size, n in zip((9000, 9000), segment, strict=True):
        whole *= -(-size // n)
    for piece in shared.pieces:
        touched = set()
        for region in shared.cut.regions(piece.start, piece.stop):
            rows, columns = (range(2 * region.start[a], min(2 * region.stop[a], 9000)) for a in (Y, X))
            down = range(rows[0] // segment[0], rows[-1] // segment[0] + 1)
            across = range(columns[0] // segment[1], columns[-1] // segment[1] + 1)
            touched |= {(y, x) for y in down for x in across}
        decoded += len(touched)
    assert decoded <= 1.1 * whole


def test_bands_of_every_plan_end_where_pieces_do() -> None:
    image = slide(9000, 7000, raw=True)
    levels = pyramid(image, 1, tile=64, least=64)
    shared = cut_batch([weight_of(image, levels)], 5)[0]
    assert shared.cut
    part = Pyramid(levels.levels[: shared.cut.last + 1], levels.names, levels.dtype, levels.channels)
    for first in first_passes(image, part, ("rows",)):
        assert band_count(first.pass_, part)
        for piece in shared.pieces:
            for region in shared.cut.regions(piece.start, piece.stop):
                for band in region.cut(first.pass_.band):
                    for step in first.pass_.steps:
                        here, level = at(part, first.pass_, band, step), part.levels[step]
                        assert all(start % n == 0 for start, n in zip(here.start, level.chunk, strict=True))


def test_small_images_stay_whole_and_a_large_one_is_cut_into_runs() -> None:
    small, large = (weight_of(image, pyramid(image, 2, tile=256, least=256)) for image in (slide(700, 700), slide(40_000, 40_000)))
    shared = cut_batch([small] * 20 + [large], 4)
    assert all(one.cut is None and len(one.pieces) == 1 for one in shared[:20])
    assert [piece.part for piece in shared[20].pieces] == [1, 2, 3, 4]
    assert [piece.start for piece in shared[20].pieces[1:]] == [piece.stop for piece in shared[20].pieces[:-1]]


def test_one_part_has_all_and_parts_may_have_nothing() -> None:
    weights = [Weight(5), Weight(7)]
    assert cut_batch(weights, 1) == [Shared(None, shared.pieces) for shared in cut_batch(weights, 1)]
    assert {shared.parts for shared in cut_batch(weights, 1)} == {(1,)}
    assert sorted(part for shared in cut_batch(weights, 1000) for part in shared.parts) == [1, 2]
    assert cut_batch([], 3) == []


KINDS = {  # of images in a batch: the sides of a synthetic one
    "slides": lambda chance: (chance.randrange(20_000, 120_000), chance.randrange(20_000, 120_000)),
    "fields": lambda chance: (chance.randrange(500, 2100), chance.randrange(500, 2100)),
    "sections": lambda chance: (int(chance.lognormvariate(9, 1)) + 200, int(chance.lognormvariate(9, 1)) + 200),
}


@pytest.mark.parametrize("batches", [10, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize("parts", [2, 16, 100, 1000])
def test_a_thousand_batches_are_balanced_within_a_tenth(parts: int, batches: int) -> None:
    chance, bounded = random.Random(parts), 0
    made: dict[tuple[int, int], Weight] = {}
    for batch in range(batches):
        kinds = chance.choice([["slides"], ["fields"], ["sections"], ["slides", "fields"], ["slides", "fields", "sections"]])
        weights = []
        for _ in range(chance.choice([1, 10, 100, 1000]) if batch % 10 == 0 else chance.randrange(1, 40)):
            sides = KINDS[chance.choice(kinds)](chance)
            if sides not in made:
                image = slide(*sides, samples=3, c=3)
                made[sides] = weight_of(
                    image, make_pyramid(image, downsample=2, tile=256, bundled=True, max_levels=0, min_dimension=256, names=("c", "y", "x"))
                )
            weights.append(made[sides])
        has, largest = works_of(parts, weights)
        mean = sum(weight.work for weight in weights) / parts
        assert max(has) <= mean + max(mean / SMALL, largest) + len(weights)
        bounded += max(has) > 1.1 * mean
        if largest <= mean / SMALL:
            assert max(has) <= 1.1 * mean + len(weights)
    print(f"{parts} parts: {bounded} of {batches} batches are beyond a tenth, by what cannot be cut")
