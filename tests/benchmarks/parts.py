"""What N parts cost against one run: CPU seconds of all processes, on a slide and on folders of small images.

PYTHONPATH=tests/helpers python -m tests.benchmarks.parts [slide small plate] [--parts 4 16] [--rounds 3] [--scratch /dev/shm]

The runs with one, 4 and 16 parts take turns, so a busy machine disturbs them alike; two parts run at a time, each with one worker.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import inputs, many
from tests.benchmarks.speed import clean, make_ready

AT_A_TIME = 2
IMAGES = 500


def slide(folder: Path) -> str:
    """RGB 30720 x 30720 as JPEG tiles."""
    inputs.make(replace(inputs.CASES["A"], shape=(30720, 30720, 3)), 1, folder)
    return "RGB 30720 x 30720, JPEG tiles"


def small(folder: Path) -> str:
    """Small images."""
    many.make(folder, IMAGES, 4, 512)
    return f"{IMAGES} images of 4 x 512 x 512 uint16"


def plate(folder: Path) -> str:
    """Images as a plate has them: one file under many names."""
    path = inputs.make(replace(inputs.CASES["B"], shape=(4, 2048, 2048), tiff={}), 1, folder)
    for number in range(1, IMAGES):
        os.link(path, folder / f"{number:04}.ome.tif")
    return f"{IMAGES} images of 4 x 2048 x 2048 uint16"


BATCHES = {"slide": slide, "small": small, "plate": plate}


def cpu_of(commands: Sequence[Sequence[str]]) -> float:
    """CPU seconds of the commands with all their descendants, so many of them at a time."""
    waiting, running, seconds = list(reversed(commands)), set[int](), 0.0
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            running.add(subprocess.Popen(waiting.pop()).pid)
        pid, status, usage = os.wait3(0)
        seconds += usage.ru_utime + usage.ru_stime
        if pid in running and status:
            sys.exit(f"a run has failed ({os.waitstatus_to_exitcode(status)})")
        running.discard(pid)
    return seconds


def commands(folder: Path, out: Path, parts: int) -> Iterator[list[str]]:
    """One run, or one for each of several parts."""
    words = [sys.executable, "-m", "omezarr_proc", "--quiet", "--max-workers", "1", "--input-dir", str(folder), "--output-dir", str(out)]
    yield from ([*words, *(("--part", f"{number}/{parts}") if parts > 1 else ())] for number in range(1, parts + 1))


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a line for each batch."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parts", description=__doc__.split("\n")[0])
    parser.add_argument("batches", nargs="*", choices=[*BATCHES, []], help=f"of {', '.join(BATCHES)}; without one all")
    parser.add_argument("--parts", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where inputs and outputs go")
    chosen = parser.parse_args(arguments)
    make_ready()
    for name in chosen.batches or BATCHES:
        with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
            folder, out = clean(Path(scratch, "in")), Path(scratch, "out")
            what = BATCHES[name](folder)
            took: dict[int, list[float]] = {parts: [] for parts in (1, *chosen.parts)}
            for _ in range(chosen.rounds):
                for parts, seconds in took.items():
                    seconds.append(cpu_of([*commands(folder, clean(out), parts)]))
            one = statistics.median(took[1])
            print(f"{what}: CPU seconds", "one run", " ".join(f"{seconds:.1f}" for seconds in took.pop(1)), end="")
            for parts, seconds in took.items():
                median = statistics.median(seconds)
                print(f"; {parts} parts {median:.1f} ({' '.join(f'{s:.1f}' for s in seconds)}), {median / one:.2f} x", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
