"""Many small images against the work that they cannot avoid: CPU time an image, of all processes.

python -m tests.benchmarks.many [--images 100] [--channels 4] [--side 512] [--mixed] [--scratch /dev/shm]

One process does the unavoidable work of all images (see `work`), then they are converted; a run of one image is taken off both, so imports
are not in it. Both are CPU seconds of the same minute, so a busy machine disturbs them alike.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from tests.benchmarks import work
from tests.benchmarks.inputs import MICROMETRES, _crop, _fluorescence
from tests.benchmarks.speed import clean, make_ready, timed


def make(folder: Path, images: int, channels: int, side: int, mixed: bool = False) -> list[Path]:
    """The inputs: fluorescence-like OME-TIFFs of uint16; `mixed`: every second one is another kind of TIFF."""
    rng = np.random.default_rng(5)
    paths = [folder / f"{number:04}.ome.tif" for number in range(images)]
    for number, path in enumerate(paths):
        pixels = np.stack([_crop(_fluorescence(), rng, side, side)[..., 0] for _ in range(channels)])
        kind = number // 2 % 4 if mixed and number % 2 else None
        match kind:
            case None:
                tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "CYX", **MICROMETRES})
            case 0:
                tifffile.imwrite(path, pixels.astype("float32"), compression="deflate", tile=(128, 128), photometric="minisblack")
            case 1:
                tifffile.imwrite(
                    path, np.moveaxis(pixels[:1] >> 8, 0, 2).astype("uint8").repeat(3, 2), compression="lzw", photometric="rgb"
                )
            case 2:
                tifffile.imwrite(path, pixels[0], compression="deflate", predictor=True, rowsperstrip=64)
            case 3:
                tifffile.imwrite(path, pixels[:, : side // 2], imagej=True, metadata={"axes": "ZYX"})
    return paths


def unavoidable(paths: list[Path], out: Path, scratch: Path) -> dict[str, float]:
    """CPU seconds of each stage, of all images."""
    clock = work.Clock()
    for path in paths:
        work.read(path, len(tifffile.TiffFile(path).pages), 0, 1, clock)
        work.store(out / path.name.replace(".tif", ".zarr"), clean(scratch), 0, 1, clock)
    return {stage: cpu for stage, (cpu, _) in clock.seconds.items()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many", description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--mixed", action="store_true", help="OME-TIFFs, and tiles, strips, colours, floats and stacks by turns")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where inputs and outputs go")
    chosen = parser.parse_args(arguments)
    make_ready()
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
        folder, out = clean(Path(scratch, "in")), Path(scratch, "out")
        paths = make(folder, chosen.images, chosen.channels, chosen.side, chosen.mixed)
        command = [sys.executable, "-m", "omezarr_proc", "--quiet", "--output-dir", str(out)]
        one = timed([*command, *map(str, paths[:1])])[1]
        clean(out)
        wall, cpu = timed([*command, *map(str, paths)])
        least = unavoidable(paths[1:], out, Path(scratch, "work"))
        cores = len(os.sched_getaffinity(0))
    further = len(paths) - 1
    stages = " + ".join(f"{1000 * seconds / further:.1f}" for seconds in least.values())
    total, took = 1000 * sum(least.values()) / further, 1000 * (cpu - one) / further
    of = f"{len(paths)} images of {chosen.channels} x {chosen.side} x {chosen.side}"
    print(f"{of}: {wall:.1f} s, unavoidable / cores {sum(least.values()) / cores:.1f} s; CPU ms for each further image:")
    print(f"unavoidable {' + '.join(least)} = {stages} = {total:.1f}, conversion {took:.1f}, {took / total:.2f} times")


if __name__ == "__main__":
    main()
