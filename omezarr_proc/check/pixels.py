"""The pixels of a dataset judged: every chunk decodes, the windows state their extremes, every level is made of the one before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.decoding import chunk_decoder, region_reader
from omezarr_proc.check.finding import Finding
from omezarr_proc.check.windows import ChannelExtremes, check_windows, chunk_extremes, merged
from omezarr_proc.host.limits import read_limits
from omezarr_proc.host.remote import refuse_silence
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.store.read import Array, Dataset, first_multiscale

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
    """Hold sampled chunks of a level against what the level below makes of them."""
    try:
        source, stored = region_reader(dataset, below), region_reader(dataset, array)
    except Exception as error:  # whatever zarr says to metadata that it does not take
        yield Finding("data", array.path, _one_line(error), "zarr opens every level")
        return
    z = len(dataset.axes) - 3 if dataset.axes[-3:-2] == ("z",) else None
    deep = 1 if z is None or below.shape[z] == array.shape[z] else 2
    ratio = [deep if axis == z else 1 for axis in range(len(array.shape) - 2)] + [2, 2]
    grid = tuple(-(-size // tile) for size, tile in zip(array.shape, array.tiles, strict=True))
    total = array.tile_count
    count = min(total, SAMPLED_CHUNKS)
    for number in sorted({(2 * n + 1) * total // (2 * count) for n in range(count)}):
        index = tuple(int(i) for i in np.unravel_index(number, grid))
        here = tuple(slice(i * size, min((i + 1) * size, end)) for i, size, end in zip(index, array.tiles, array.shape, strict=True))
        there = tuple(slice(n * s.start, n * s.stop) for n, s in zip(ratio, here, strict=True))
        found, expected = stored(here), halved(source(there), method, deep)
        if found.shape == expected.shape and np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
            continue
        if found.shape != expected.shape:
            problem = f"is of size {found.shape}, level {below.path} gives {expected.shape}"
        else:
            different = (found != expected) & ~((found != found) & (expected != expected))
            where = tuple(int(i) for i in np.argwhere(different)[0])
            at = ", ".join(f"{axis}={s.start + i}" for axis, s, i in zip(dataset.axes, here, where, strict=True))
            problem = f"at {at} is {found[where]}, the {method} of level {below.path} is {expected[where]}"
        rule = f"every level is the exact {'2x2x2' if deep > 1 else '2x2'} {method} of the one before"
        chunk = tuple(i * tile // size for i, tile, size in zip(index, array.tiles, array.chunks, strict=True))
        yield Finding("data", f"{array.path}/{array.chunk_name(chunk)}", problem, rule)
        return


def halved(pixels: NDArray[Any], method: str, deep: int = 1) -> NDArray[Any]:
    """`pixels[..., z, h, w]` by half in y and x, and `deep` times smaller in z, as `DOWNSAMPLE_METHOD` has it."""
    *before, height, width = pixels.shape
    depth = before.pop() if before else 1
    volumes = np.ascontiguousarray(pixels.reshape(-1, depth, height, width))
    out = np.empty((len(volumes), -(-depth // deep), -(-height // 2), -(-width // 2)), pixels.dtype)
    REDUCTIONS[method].fold(volumes, deep, 2, out)
    return out.reshape(*before, *([out.shape[1]] if pixels.ndim > 2 else []), *out.shape[2:])


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
