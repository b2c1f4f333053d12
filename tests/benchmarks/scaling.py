"""How time grows with pixels, and what a second worker gives; the second table of docs/performance.md.

python -m tests.benchmarks.scaling [--rounds 3]

Slides like input A of 0.009 to 2.4 gigapixels, in turn, median of the rounds: seconds beside those of a 512 x 512 image, a gigapixel.
Then A with one worker and with two, beside the unavoidable work (see `work`) on one and on two cores.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.inputs import CASES, make
from tests.benchmarks.speed import clean, convert, make_ready, timed, unavoidable

SCALES = (("A", 3 / 16), ("A", 3 / 8), ("A", 3 / 4), ("A", 3 / 2), ("D", 1.0))


def growth(rounds: int, inputs: Path, scratch: Path) -> None:
    """Print the time for each size."""
    paths = {case.scaled(scale): make(case, scale, inputs) for case, scale in [(CASES[name], scale) for name, scale in SCALES]}
    small = make(CASES["small"], 1.0, inputs)
    start = statistics.median(timed(convert(CASES["small"], small, clean(scratch)))[0] for _ in range(rounds))
    print(f"512 x 512: {start:.2f} s\n\n| size | gigapixels | s | s beyond the small image's, a gigapixel |\n|---|---|---|---|")
    for (height, width, _), path in paths.items():
        wall = statistics.median(timed(convert(CASES["A"], path, clean(scratch)))[0] for _ in range(rounds))
        size = height * width / 1e9
        print(f"| {width} x {height} | {size:.3f} | {wall:.2f} | {(wall - start) / size:.1f} |", flush=True)


def workers(rounds: int, inputs: Path, scratch: Path) -> None:
    """Print what a second worker gains, beside what a second core gains for the pure work."""
    case = CASES["A"]
    path = make(case, 1.0, inputs)
    timed(convert(case, path, clean(scratch / "reference")))
    (dataset,) = (scratch / "reference").glob("*.ome.zarr")
    walls: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in (1, 2):
            stages = unavoidable(path, dataset, scratch / "work", count)
            walls.setdefault(("work", count), []).append(sum(wall for _, wall in stages.values()))
            limited = replace(case, flags=("--max-workers", str(count)))
            walls.setdefault(("conversion", count), []).append(timed(convert(limited, path, clean(scratch / "own")))[0])
    middle = {key: statistics.median(values) for key, values in walls.items()}
    gains = {what: middle[what, 1] / middle[what, 2] for what in ("work", "conversion")}
    print("\n| A | one worker, s | two, s | gain |\n|---|---|---|---|")
    for what in ("work", "conversion"):
        print(f"| {what} | {middle[what, 1]:.2f} | {middle[what, 2]:.2f} | {gains[what]:.2f} |")
    print(f"\nOf what two cores give the pure work the conversion gets {gains['conversion'] / gains['work']:.2f}.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inputs", type=Path, default=Path(tempfile.gettempdir()) / "omezarr_proc-benchmark", help="folder of the inputs")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    chosen = parser.parse_args(arguments)
    make_ready()
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
        growth(chosen.rounds, chosen.inputs, Path(scratch) / "own")
        workers(chosen.rounds, chosen.inputs, Path(scratch))


if __name__ == "__main__":
    main()
