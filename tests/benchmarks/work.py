"""The work that no conversion can avoid, alone: read and decode every segment, average, encode every distinct chunk, create the files.

Run by `speed` as N processes at once, each with one thread and every Nth segment and chunk, so that what busy cores cost each other is in
it. Everything a stage needs is made ready before its clock starts; pixels stay in buffers that are used again.

python -m tests.benchmarks.work INPUT DATASET OUTPUT K N: prints "ready", waits for a line, prints JSON: {stage: [CPU, wall seconds]}.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from omezarr_proc.pixels.average import box_mean
from omezarr_proc.store.codec import Codec

BATCH = 16
ROWS = 128


class Clock:
    """CPU and wall seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {stage: [0.0, 0.0] for stage in ("decode", "average", "encode", "write")}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Adds what the body takes to `stage`."""
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            total = self.seconds[stage]
            total[0] += time.thread_time() - cpu
            total[1] += time.perf_counter() - wall


def read(path: Path, planes: int, k: int, n: int, clock: Clock) -> None:
    """Decode every nth segment of each so many planes and halve it in y and x, and in z where level 0 has fewer of them."""
    with tifffile.TiffFile(path) as tiff:
        means: dict[tuple[int, ...], NDArray[Any]] = {}
        pages = tiff.series[0].pages
        deep = -(-len(pages) // planes)
        segments = ((pages[p : p + deep], i) for p in range(0, len(pages), deep) for i in range(len(pages[p].dataoffsets)))
        for together, index in itertools.islice(segments, k, None, n):
            for blocks in zip(*(_decoded(tiff, page, index, clock) for page in together), strict=True):
                block = np.stack(blocks) if deep > 1 else blocks[0][np.newaxis]
                shape = block.shape[3], -(-block.shape[1] // 2), -(-block.shape[2] // 2)
                out = means.setdefault(shape, np.zeros(shape, block.dtype))
                with clock.of("average"):
                    box_mean(block, 2, out)


def _decoded(tiff: tifffile.TiffFile, page: Any, index: int, clock: Clock) -> Iterator[NDArray[Any]]:
    file, like = tiff.filehandle, page.keyframe
    if like.compression == 1 and not like.is_tiled:
        rows = min(like.rowsperstrip, like.imagelength)
        for y in range(0, rows, ROWS):
            with clock.of("decode"):
                file.seek(page.dataoffsets[index] + y * like.imagewidth * like.dtype.itemsize)
                block = np.frombuffer(file.read(min(ROWS, rows - y) * like.imagewidth * like.dtype.itemsize), like.dtype)
            yield block.reshape(-1, like.imagewidth, 1)
        return
    tables = {"jpegtables": page.jpegtables, "jpegheader": like.jpegheader} if like.compression == 7 else {}
    decode = like.decode  # made at first use
    with clock.of("decode"):
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index])
        block = decode(data, index, **tables)[0][0]
    yield block


def store(dataset: Path, output: Path, k: int, n: int, clock: Clock) -> None:
    """Encode every nth chunk of a finished dataset, one whose channels are constant only once; write the files; halve the chunk."""
    constant: dict[bytes, bytes] = {}
    arrays = _levels(dataset)
    for number, array in enumerate(arrays):
        level = dataset / str(number)
        above = arrays[number + 1] if number + 1 < len(arrays) else array
        deep = 2 if array.ndim > 3 and above.shape[-3] < array.shape[-3] else 1
        configuration = dict(array.metadata.codecs[-1].to_dict()["configuration"])
        codec = Codec(**configuration)
        places = list(np.ndindex(*(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))))[k::n]
        folders = {output / level.name / "/".join(map(str, place[:-1])) for place in places}
        for begin in range(0, len(places), BATCH):
            chunks = [_chunk(array, place) for place in places[begin : begin + BATCH]]
            for place, chunk in zip(places[begin : begin + BATCH], chunks, strict=True):
                if chunk.min() == chunk.max():
                    key = chunk.tobytes()
                    if key not in constant:
                        with clock.of("encode"):
                            constant[key] = codec.encode(chunk)
                    data = constant[key]
                else:
                    with clock.of("encode"):
                        data = codec.encode(chunk)
                planes = chunk.reshape(-1, *chunk.shape[-2:])
                out = np.empty((1, *(size // 2 for size in planes.shape[1:])), chunk.dtype)
                if deep > len(planes):  # of two chunks of a plane each the second stands for both
                    planes = np.stack([planes[0], planes[0]]) if place[-3] % 2 else planes[:0]
                with clock.of("average"):
                    for z in range(0, len(planes), deep):
                        box_mean(planes[z : z + deep, :, :, np.newaxis], 2, out)
                folder = output / level.name / "/".join(map(str, place[:-1]))
                path = f"{folder}/{place[-1]}"
                with clock.of("write"):
                    if folder in folders:
                        folder.mkdir(parents=True, exist_ok=True)
                        folders.discard(folder)
                    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
                    os.write(fd, data)
                    os.close(fd)


def _levels(dataset: Path) -> list[Any]:
    numbers = sorted(int(path.name) for path in dataset.iterdir() if path.name.isdigit())
    return [zarr.open_array(dataset / str(number), mode="r") for number in numbers]


def _chunk(array: Any, place: tuple[int, ...]) -> NDArray[Any]:
    """One whole chunk, filled up with zeros at the edges."""
    part = array[tuple(slice(i * size, (i + 1) * size) for i, size in zip(place, array.chunks, strict=True))]
    chunk: NDArray[Any] = np.zeros(array.chunks, array.dtype)
    chunk[tuple(slice(size) for size in part.shape)] = part
    return chunk


def main(arguments: list[str]) -> None:
    """Do one copy's share."""
    source, dataset, output, k, n = Path(arguments[0]), Path(arguments[1]), Path(arguments[2]), int(arguments[3]), int(arguments[4])
    print("ready", flush=True)
    sys.stdin.readline()
    clock = Clock()
    read(source, int(np.prod(_levels(dataset)[0].shape[:-2])), k, n, clock)
    store(dataset, output, k, n, clock)
    print(json.dumps(clock.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
