"""Many small images against the work that they cannot avoid: CPU time an image, of all processes.

python -m tests.benchmarks.many [--images 100] [--channels 4] [--side 512] [--scratch /dev/shm]

One process does the unavoidable work of all images (see `work`), then they are converted; a run of one image is taken off both, so imports
are not in it. Both are CPU seconds of the same minute, so a busy machine disturbs them alike.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from tests.benchmarks import work
from tests.benchmarks.inputs import MICROMETRES, _crop, _fluorescence
from tests.benchmarks.speed import clean, make_ready, timed


def make(folder: Path, images: int, channels: int, side: int) -> list[Path]:
    """The inputs: fluorescence-like OME-TIFFs of uint16."""
    rng = np.random.default_rng(5)
    paths = [folder / f"{number:04}.ome.tif" for number in range(images)]
    for path in paths:
        pixels = np.stack([_crop(_fluorescence(), rng, side, side)[..., 0] for _ in range(channels)])
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "CYX", **MICROMETRES})
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
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where inputs and outputs go")
    chosen = parser.parse_args(arguments)
    make_ready()
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
        folder, out = clean(Path(scratch, "in")), Path(scratch, "out")
        paths = make(folder, chosen.images, chosen.channels, chosen.side)
        command = [sys.executable, "-m", "omezarr_proc", "--quiet", "--output-dir", str(out)]
        one = timed([*command, *map(str, paths[:1])])[1]
        clean(out)
        wall, cpu = timed([*command, *map(str, paths)])
        least = unavoidable(paths[1:], out, Path(scratch, "work"))
    further = len(paths) - 1
    stages = " + ".join(f"{1000 * seconds / further:.1f}" for seconds in least.values())
    total, took = 1000 * sum(least.values()) / further, 1000 * (cpu - one) / further
    print(f"{len(paths)} images of {chosen.channels} x {chosen.side} x {chosen.side}: {wall:.1f} s; CPU ms for each further image:")
    print(f"unavoidable {' + '.join(least)} = {stages} = {total:.1f}, conversion {took:.1f}, {took / total:.2f} times")


if __name__ == "__main__":
    main()
