"""Blosc's shuffle filters and block sizes per dtype and chunk layout: bytes and encoding speed, as the tables of docs/codec.md.

Run by hand: python -m tests.benchmarks.shuffle [FOLDER]

The content is made from fixed seeds; with a FOLDER its TIFF files (8- and 16-bit, grey or RGB, at least 512 x 512) are measured
instead. Speed is the median over all chunks of raw megabytes per second of the encoding thread's own CPU time, so that other load on the
machine shows little.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.store.codec import Codec, Shuffle

Pixels = NDArray[Any]  # (c, y, x)

SIZE = 1024
COMPRESSORS = ("zstd", "lz4")
LEVEL = 5
BLOCKS = (0, 16 << 10, 64 << 10, 256 << 10, 1 << 20)
HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])  # optical densities in R, G, B (Ruifrok and Johnston, 2001)


def smooth(rng: np.random.Generator, sigma: float) -> Pixels:
    """Gaussian noise of the given correlation length in pixels, mean 0 and standard deviation 1."""
    f = np.fft.fftfreq(SIZE)
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (f[:, None] ** 2 + f[None, :] ** 2))
    field: Pixels = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * kernel).real
    field -= field.mean()
    field /= field.std()
    return field


def tissue(rng: np.random.Generator) -> Pixels:
    """Brightfield RGB uint8: eosin-stained ground with nuclei, empty glass, texture, and the noise of a sensor."""
    here = smooth(rng, 80) > -0.5
    nuclei = np.clip(smooth(rng, 5) - 1.0, 0, 1) * here
    ground = (0.35 + 0.08 * smooth(rng, 20) + 0.05 * smooth(rng, 2)) * here
    density: Pixels = nuclei * HEMATOXYLIN[:, None, None] * 1.5 + ground * EOSIN[:, None, None]
    noise = np.stack([smooth(rng, 0.5) for _ in range(3)]) * 1.5
    light: Pixels = np.clip(245 * np.exp(-density) + noise, 0, 255)
    return light.astype("uint8")


def photons(rng: np.random.Generator) -> Pixels:
    """The expected photons a pixel of a fluorescence image, (2, y, x): nuclei in the dark, and a fibrous second channel."""
    nuclei = 400 * np.clip(smooth(rng, 8) - 0.8, 0, None) * (1 + 0.2 * smooth(rng, 2)) + 6
    fibres = 150 * np.clip(1 - 4 * np.abs(smooth(rng, 6)), 0, None) + 12
    return np.stack([nuclei.clip(0), fibres])


def camera(rng: np.random.Generator) -> Pixels:
    """Fluorescence as a 16-bit camera stores it: offset, Poisson noise, gain, read noise."""
    counts: Pixels = 100 + 2.2 * rng.poisson(photons(rng)) + rng.normal(0, 2, (2, SIZE, SIZE))
    return np.clip(counts, 0, 65535).round().astype("uint16")


def corrected(rng: np.random.Generator) -> Pixels:
    """Float32: camera counts after flat-field correction."""
    return ((camera(rng) - 100.0) / (1 + 0.1 * smooth(rng, 200))).astype("float32")


def labels(rng: np.random.Generator) -> Pixels:
    """Segmented cells as uint32: background 0, each cell one number."""
    inside = smooth(rng, 8) > 0.3
    cell = np.arange(SIZE) // 24
    ids = 70_000 + rng.permutation(cell.max() * 1000 + 1000)[cell[:, None] * 43 + cell[None, :]]
    return np.where(inside, ids, 0).astype("uint32")[None]


CONTENT: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "RGB uint8": tissue,
    "fluorescence uint8": lambda rng: np.clip(rng.poisson(photons(rng)) // 2, 0, 255).astype("uint8"),
    "fluorescence uint16": camera,
    "fluorescence int16": lambda rng: (camera(rng).astype("int32") - 110).astype("int16"),
    "corrected float32": corrected,
    "summed frames uint32": lambda rng: sum((camera(rng).astype("uint32") for _ in range(8)), np.zeros((2, SIZE, SIZE), "uint32")),
    "labels uint32": labels,
}


def from_folder(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """The first page of each TIFF in `folder` that is 8 or 16 bits, grey or RGB, and large enough; channels first."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".tif", ".tiff")):
        try:
            pixels = tifffile.imread(path, key=0)
        except Exception as error:  # whatever a broken sample raises: it is no content
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        pixels = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) else pixels[None]
        if pixels.ndim == 3 and min(pixels.shape[1:]) >= 512 and pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 2:
            yield f"{path.name} {pixels.dtype}", pixels.astype(pixels.dtype.newbyteorder("<"))


def chunks(pixels: Pixels, tile: int, bundled: bool) -> list[Pixels]:
    """All whole chunks of `tile` x `tile` pixels, of all channels together or of one each."""
    parts = [pixels] if bundled else [plane[None] for plane in pixels]
    _, height, width = pixels.shape
    corners = [(y, x) for y in range(0, height - tile + 1, tile) for x in range(0, width - tile + 1, tile)]
    return [np.ascontiguousarray(part[:, y : y + tile, x : x + tile]) for part in parts for y, x in corners]


def measure(codec: Codec, parts: list[Pixels]) -> tuple[float, float]:
    """The stored size in per cent of the raw, and the median MB/s of encoding."""
    stored, speeds = 0, []
    codec.encode(parts[0])
    for part in parts:
        begin = time.thread_time()
        stored += len(codec.encode(part))
        speeds.append(part.nbytes / 1e6 / max(time.thread_time() - begin, 1e-9))
    return 100 * stored / sum(part.nbytes for part in parts), statistics.median(speeds)


def table(first: str, columns: list[str], rows: list[tuple[str, list[tuple[float, float]]]]) -> None:
    """Print a markdown table of "size %, MB/s" cells."""
    print(f"| {first} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, cells in rows:
        print(f"| {name} | {' | '.join(f'{size:.1f} %, {speed:.0f}' for size, speed in cells)} |")
    print()


def main(arguments: list[str]) -> None:
    """Measure and print both tables."""
    made = ((name, make(np.random.default_rng(1))) for name, make in CONTENT.items())
    content = list(from_folder(Path(arguments[0])) if arguments else made)
    shuffles: tuple[Shuffle, ...] = get_args(Shuffle)
    cases = [
        (f"{name}, {tile}, {'bundled' if bundled else 'single'}", chunks(pixels, tile, bundled))
        for name, pixels in content
        for tile in (256, 512)
        for bundled in ([True, False] if len(pixels) > 1 else [False])
    ]
    for cname in COMPRESSORS:
        print(f"{cname} {LEVEL}: stored size, MB/s\n")
        table(
            "content, tile, chunk",
            list(shuffles),
            [
                (name, [measure(Codec(cname=cname, clevel=LEVEL, shuffle=s, typesize=parts[0].itemsize), parts) for s in shuffles])
                for name, parts in cases
            ],
        )
    for shuffle in shuffles[1:]:
        print(f"zstd {LEVEL}, {shuffle}, by block size in bytes (0: Blosc's choice)\n")
        table(
            "content, tile, chunk",
            [str(block) for block in BLOCKS],
            [
                (
                    name,
                    [
                        measure(Codec(cname="zstd", clevel=LEVEL, shuffle=shuffle, typesize=parts[0].itemsize, blocksize=block), parts)
                        for block in BLOCKS
                    ],
                )
                for name, parts in cases
                if "256" in name
            ],
        )


if __name__ == "__main__":
    main(sys.argv[1:])
