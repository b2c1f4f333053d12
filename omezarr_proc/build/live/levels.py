"""The levels of a live dataset: runs of them, each out of one stored level of the file. Pure.

A stored level is taken as an image of its own, and what lies between it and the next is made of it as a conversion makes it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Level, Pyramid
from omezarr_proc.model.region import AXES, Index, Region, X, Y
from omezarr_proc.plan.passes import Pass
from omezarr_proc.plan.plan import Plan, make_plan

# Full resolution is there; chunks are encoded to be sent to this machine once.
SETTINGS = Settings(initial_downsample=1, compression="lz4", compression_level=1)


@dataclass(frozen=True, eq=False)
class Run:
    """Levels that are made of one stored level.

    image    with the stored level's planes, as if these were full resolution
    first    of the levels of the whole that is level 0 of `pyramid`
    """

    image: Image
    pyramid: Pyramid
    first: int
    plan: Plan

    def band(self, level: int, chunk: Index) -> tuple[Pass, Region]:
        """The pass and the band of it that makes a chunk of one of its levels, by its place in the grid of chunks."""
        pass_ = next(pass_ for pass_ in self.plan.passes if pass_.first <= level <= pass_.last)
        ratio, size = self.pyramid.ratio(pass_.first, level), self.pyramid.levels[level].chunk
        sides = zip(chunk, size, ratio, pass_.band, strict=True)
        t, c, z, y, x = (place * pixels * times // band * band for place, pixels, times, band in sides)
        whole = Region((0, 0, 0, 0, 0), pass_.band).moved((t, c, z, y, x))
        return pass_, whole.clipped(self.pyramid.levels[pass_.first].shape)

    def key(self, level: int, chunk: Index) -> str:
        """The key of a chunk of one of its levels."""
        return "/".join(map(str, (level, "c", *self.pyramid.stored(chunk))))

    def place_of(self, key: str) -> tuple[int, Index] | None:
        """The level and the place of the chunk that a key names, None where there is none."""
        return parsed(self.pyramid, key)


def runs(image: Image, stored: Sequence[Image], limits: Limits) -> list[Run]:
    """The runs of levels of an image whose `stored` levels are known (`reduced_by`). Raises ProcError where it cannot be converted.

    A stored level is taken where it has all planes, so z is not halved where there is one.
    """
    settings = replace(SETTINGS, z_downsample="none") if stored else SETTINGS
    whole = pyramid_of(image, settings)
    usable = {one.reduced_by.bit_length() - 1: one for one in stored if one.reduced_by < 1 << len(whole.levels)}
    firsts = [0, *sorted(usable)]
    found = []
    for first, end in zip(firsts, [*firsts[1:], 0], strict=True):
        own = _alone(usable[first]) if first else image
        pyramid = pyramid_of(own, replace(settings, max_levels=end - first, min_dimension=1) if end else settings)
        found.append(Run(own, pyramid, first, make_plan(own, pyramid, replace(limits, cpus=1))))
    return found


def joined(made: Sequence[Run]) -> Pyramid:
    """The pyramid of all runs: their sizes, with the factors of full resolution."""
    levels = [_of_whole(level, run.first) for run in made for level in run.pyramid.levels]
    return replace(made[0].pyramid, levels=tuple(replace(level, index=index) for index, level in enumerate(levels)))


def _of_whole(level: Level, halvings: int) -> Level:
    """A level of an image that is so many times halved in y and x, as one of the whole."""
    t, c, z, y, x = (
        replace(axis, factor=axis.factor << halvings if place in (Y, X) else axis.factor) for place, axis in enumerate(level.axes)
    )
    return Level(level.index, (t, c, z, y, x))


def parsed(pyramid: Pyramid, key: str) -> tuple[int, Index] | None:
    """The level and the place of the chunk that a key of Zarr v3 names (`2/c/0/3/1`); None for what is no chunk of the pyramid."""
    level, _, place = key.partition("/c/")
    numbers = [level, *place.split("/")]
    if not all(text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) < 10 for text in numbers):
        return None
    index, *at = map(int, numbers)
    if index >= len(pyramid.levels) or len(at) != len(pyramid.names):
        return None
    by_name = dict(zip(pyramid.names, at, strict=True))
    t, c, z, y, x = (by_name.get(name, 0) for name in AXES)
    inside = all(number < end for number, end in zip((t, c, z, y, x), pyramid.levels[index].grid.shape, strict=True))
    return (index, (t, c, z, y, x)) if inside else None


def _alone(stored: Image) -> Image:
    """A stored level as an image of its own. Raises InputError where its planes differ in size."""
    sizes = {(layout.height, layout.width) for layout in stored.layouts}
    if len(sizes) > 1:
        raise InputError("the planes of a stored level differ in size", source=stored.source)
    height, width = sizes.pop()
    return replace(stored, height=height, width=width, reduced_by=1)


def grouped(images: Sequence[Image]) -> Iterator[tuple[Image, list[Image]]]:
    """Each image with its stored levels, which follow it (see `open_images`)."""
    for index, image in enumerate(images):
        if image.reduced_by == 1:
            following = images[index + 1 :]
            end = next((n for n, one in enumerate(following) if one.reduced_by == 1), len(following))
            yield image, list(following[:end])
