"""The pixels of a dataset judged: every chunk decodes, the windows state their extremes, every level is made of the one before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.decoding import chunk_decoder
from omezarr_proc.check.finding import Finding
from omezarr_proc.check.levels import Level, Step
from omezarr_proc.check.windows import ChannelExtremes, check_windows, chunk_extremes, merged
from omezarr_proc.host.limits import read_limits
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.region import AXES, Index, Region
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.store.read import Dataset, first_multiscale
from omezarr_proc.store.zarr_array import Array

SAMPLED_CHUNKS = 24  # of each level; all where there are no more
_BATCH = 256
_AT_ONCE = 16  # chunks of an object store that are waited for
_SHOWN = 5  # damaged chunks of a level that are told one by one


def check_pixels(dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with the pixels. Chunk files that are absent are not looked at: `validate` has told of them."""
    damaged = set()
    with ThreadPoolExecutor(max(_AT_ONCE if dataset.objects.apart else 1, round(read_limits(0, 0).cpus))) as threads:
        for array in dataset.arrays:
            found: list[Finding] = []
            measured, seen = 0, ChannelExtremes()
            for chunk in _chunks(dataset, array, threads):
                if isinstance(chunk, Finding):
                    found.append(chunk)
                elif chunk is not None:
                    measured, seen = measured + 1, merged(seen, chunk)
            damaged |= {array.path} if found else set()
            yield from found[:_SHOWN]
            if len(found) > _SHOWN:
                problem = f"{len(found) - _SHOWN} more of its chunks cannot be decoded"
                yield Finding("data", array.path, problem, "every chunk can be decoded")
            yield from check_windows(dataset, seen, every_chunk=measured == array.chunk_count)
    if len(dataset.arrays) < 2:
        return
    method = first_multiscale(dataset.ome).get("type")
    if not isinstance(method, str) or method not in REDUCTIONS:
        rule = f"levels are compared where multiscales.type is {' or '.join(REDUCTIONS)}"
        yield Finding("viewers", "multiscales[0].type", f"{method!r}: levels are not compared", rule, "look at them in a viewer")
        return
    axes = dataset.axes
    for below, array in zip(dataset.arrays, dataset.arrays[1:], strict=False):
        if not damaged & {below.path, array.path} and axes[-2:] == ("y", "x") and len(array.shape) == len(below.shape) == len(axes):
            yield from _compared(dataset, below, array, method)


def _chunks(dataset: Dataset, array: Array, threads: ThreadPoolExecutor) -> Iterator[Finding | ChannelExtremes | None]:
    """Decode all chunks of a level, a batch at a time: what is wrong with each, or else, in level 0, its extremes."""
    try:
        decode = chunk_decoder(dataset, array)
    except Exception as error:  # whatever zarr says to codecs that it does not know, or to their settings
        yield Finding("data", array.path, _one_line(error), "zarr opens every level")
        return
    axes = dataset.axes
    measured = array is dataset.arrays[0] and array.dtype in VIEWABLE and len(axes) == len(array.shape)

    def attempt(index: tuple[int, ...]) -> Finding | ChannelExtremes | None:
        name = f"{array.path}/{array.chunk_name(index)}"
        try:
            pixels = decode(index)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a codec says to damaged bytes
            refuse_silence(error)
            return Finding("data", name, f"cannot be decoded: {_one_line(error)}", "every chunk can be decoded")
        return chunk_extremes(axes, array, index, pixels) if measured else None

    indices = array.chunk_indices()
    while batch := list(islice(indices, _BATCH)):
        yield from threads.map(attempt, batch)


def _compared(dataset: Dataset, below: Array, array: Array, method: str) -> Iterator[Finding]:
    """Hold sampled tiles of a level against what the level below makes of them."""
    try:
        step = Step(Level(dataset, below), Level(dataset, array), method)
    except Exception as error:  # sizes that do not fit, or whatever zarr says to metadata that it does not take
        yield Finding("data", array.path, _one_line(error), f"zarr opens every level, and the {method} of the one before gives its size")
        return
    tiles = Region((0, 0, 0, 0, 0), step.above.shape).divided(step.above.tile)
    count = min(tiles.size, SAMPLED_CHUNKS)
    for number in sorted({(2 * n + 1) * tiles.size // (2 * count) for n in range(count)}):
        place = tuple(int(i) for i in np.unravel_index(number, tiles.shape))
        tile = Region(place, tuple(i + 1 for i in place)).scaled(step.above.tile).clipped(step.above.shape)  # type: ignore[arg-type]
        if (found := step.difference(tile)) and not found.problem:  # what cannot be read is told of where chunks are decoded
            at = ", ".join(f"{axis}={i}" for axis, i in zip(AXES, found.place, strict=True) if axis in dataset.axes)
            problem = f"at {at} is {found.found}, the {method} of level {below.path} is {found.expected}"
            rule = f"every level is the exact {'x'.join('2' for n in step.ratio if n == 2)} {method} of the one before"
            yield Finding("data", f"{array.path}/{array.chunk_name(_chunk_at(array, dataset.axes, found.place))}", problem, rule)
            return


def _chunk_at(array: Array, axes: tuple[str, ...], place: Index) -> tuple[int, ...]:
    return tuple(place[AXES.index(axis)] // size for axis, size in zip(axes, array.chunks, strict=True))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
