"""Geometry of a pyramid: levels, chunks, passes and bands. Pure arithmetic, no pixels.

A *frame* is what is loaded and stored together: one t and z, and in c either all channels (bundled chunks), the samples of one
interleaved TIFF plane, or a single channel. A *pass* reads one source (the TIFF, or a finished level) and writes the levels
`first..last`. A *band* is a rectangle of a frame's `first` level whose sides are multiples of `tile * 2**(last - first)` (or end with the
level), so it yields whole chunks of every level of its pass and touches no chunk of another band.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from omezarr_proc.model.image import Image, Rect


@dataclass(frozen=True)
class Level:
    """One resolution: its size in pixels, and how many full-resolution pixels one of its pixels spans per axis."""

    index: int
    height: int
    width: int
    factor: int


def ceil_div(a: int, b: int) -> int:
    """`a / b` rounded up, for non-negative `a` and positive `b`."""
    return -(-a // b)


def make_levels(height: int, width: int, downsample: int, max_levels: int, min_dimension: int) -> tuple[Level, ...]:
    """Levels of an image of `height` x `width` pixels: level k is `ceil(size / (downsample * 2**k))`.

    Stops at the first level with both sides at or below `min_dimension`, or at `max_levels` levels where that is not 0.
    """
    levels: list[Level] = []
    while True:
        factor = downsample << len(levels)
        level = Level(len(levels), ceil_div(height, factor), ceil_div(width, factor), factor)
        levels.append(level)
        if max(level.height, level.width) <= min_dimension or len(levels) == max_levels:
            return tuple(levels)


@dataclass(frozen=True)
class Frames:
    """How the t, c, z positions of an image group into frames of `channels` channels; frame = (t * size_z + z) * groups + group."""

    size_t: int
    size_c: int
    size_z: int
    channels: int

    @property
    def groups(self) -> int:
        """Frames per t and z."""
        return self.size_c // self.channels

    @property
    def count(self) -> int:
        """All frames of the image."""
        return self.size_t * self.size_z * self.groups

    def position(self, frame: int) -> tuple[int, int, int]:
        """The (t, first channel, z) of a frame."""
        tz, group = divmod(frame, self.groups)
        t, z = divmod(tz, self.size_z)
        return t, group * self.channels, z


def make_frames(image: Image, bundled: bool) -> Frames:
    """Frames of an image: all channels when its chunks bundle them, else what one TIFF plane interleaves."""
    return Frames(image.size_t, image.size_c, image.size_z, image.size_c if bundled else image.layouts[0].samples)


@dataclass(frozen=True)
class Pass:
    """Levels `first..last` out of one source: the TIFF (`source` None) or a finished level.

    factor                   source pixels per pixel of level `first`, per axis
    band_height, band_width  in pixels of level `first`; multiples of `tile << (last - first)`
    """

    source: int | None
    factor: int
    first: int
    last: int
    band_height: int
    band_width: int


@dataclass(frozen=True)
class Band:
    """One band of a pass: `rect` in pixels of the pass's first level, clipped to it."""

    frame: int
    rect: Rect

    def at(self, step: int) -> Rect:
        """The same ground `step` levels up, in that level's pixels (sizes halve with ceil, begins are multiples of `2**step`)."""
        r, scale = self.rect, 1 << step
        return Rect(r.y0 >> step, ceil_div(r.y1, scale), r.x0 >> step, ceil_div(r.x1, scale))


def bands(stage: Pass, level: Level, frames: int) -> Iterator[Band]:
    """All bands of a pass in the order in which they are worked: frame by frame, rows from the top."""
    for frame in range(frames):
        for y in range(0, level.height, stage.band_height):
            for x in range(0, level.width, stage.band_width):
                yield Band(frame, Rect(y, min(y + stage.band_height, level.height), x, min(x + stage.band_width, level.width)))


def band_count(stage: Pass, level: Level, frames: int) -> int:
    """How many `bands` there are."""
    return ceil_div(level.height, stage.band_height) * ceil_div(level.width, stage.band_width) * frames


@dataclass(frozen=True)
class SlotLevel:
    """Where one level's part of a band lies in a slot: `[tile rows, tile columns, channels, tile, tile]` from byte `offset`.

    Every chunk is contiguous, so the encoder reads it where the downsampling has put it.
    """

    offset: int
    rows: int
    columns: int


def slot_levels(stage: Pass, levels: tuple[Level, ...], tile: int, channels: int, itemsize: int) -> tuple[tuple[SlotLevel, ...], int]:
    """The parts of a slot for each level of a pass, and the bytes of a whole slot."""
    parts: list[SlotLevel] = []
    end = 0
    for level in levels[stage.first : stage.last + 1]:
        step = level.index - stage.first
        rows = ceil_div(min(stage.band_height >> step, level.height), tile)
        columns = ceil_div(min(stage.band_width >> step, level.width), tile)
        parts.append(SlotLevel(end, rows, columns))
        end += rows * columns * channels * tile * tile * itemsize
    return tuple(parts), ceil_div(end, 4096) * 4096


def chunk_count(level: Level, frames: Frames, tile: int, bundled: bool) -> int:
    """Stored chunks of a level."""
    per_plane = ceil_div(level.height, tile) * ceil_div(level.width, tile)
    return per_plane * frames.size_t * frames.size_z * (1 if bundled else frames.size_c)
