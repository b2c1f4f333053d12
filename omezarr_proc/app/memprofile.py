"""How much memory a conversion takes, against what was planned and what it may take.

    python -m omezarr_proc.app.memprofile --limit 512 [--sweep 128,256,512] [--report NAME] INPUT OUTPUT [-- FLAG ...]

Runs `python -m omezarr_proc INPUT --output-dir OUTPUT FLAG...` with that limit, in a memory cgroup of its own where this user may make
one, and samples all its processes. Writes NAME.csv (every sample), NAME.json (figures) and, where matplotlib is installed (extra `plot`),
NAME.png. The exit status is 1 when the conversion failed or its peak exceeds the limit or the projected peak. OUTPUT should not be on a
tmpfs, which the cgroup would count.
"""

import argparse
import csv
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from omezarr_proc.app.profiling.profile import MB, Profile, profile
from omezarr_proc.app.profiling.sampling import Sampler
from omezarr_proc.app.standard import say


def report(found: Sequence[tuple[Profile, Sampler]], name: str) -> None:
    """Write NAME.csv, NAME.json and, with matplotlib, NAME.png."""
    with open(f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["limit_bytes", "seconds", "pid", "bytes", "unique_bytes", "shared_bytes", "file_bytes"])
        rows.writerows((p.limit_bytes, *dataclasses.astuple(sample)) for p, sampler in found for sample in sampler.samples)
    Path(f"{name}.json").write_text(json.dumps([dataclasses.asdict(p) | {"fault": p.fault} for p, _ in found], indent=1), encoding="utf-8")
    try:
        from omezarr_proc.app.profiling.memplot import plot
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("matplotlib"):
            raise
        say("no plot: matplotlib is not installed (extra `plot`)\n")
    else:
        plot(found, f"{name}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile, print a line for each limit, write the report."""
    parser = argparse.ArgumentParser(prog="python -m omezarr_proc.app.memprofile", description=__doc__.partition("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path, help="folder of the dataset")
    parser.add_argument("flags", nargs="*", help="of the converter, after --")
    parser.add_argument("--limit", type=int, default=512, metavar="MB")
    parser.add_argument("--sweep", metavar="MB,MB,...", help="several limits, one after another")
    parser.add_argument("--report", default="memprofile", metavar="NAME")
    chosen = parser.parse_args(arguments)
    if not Path("/proc/self/smaps_rollup").exists():
        parser.exit(1, f"{parser.prog}: memory cannot be measured, since this system has no /proc/PID/smaps_rollup\n")
    limits = [int(limit) for limit in chosen.sweep.split(",")] if chosen.sweep else [chosen.limit]
    found = []
    print("limit MB  projected MB  peak MB  of it files  cgroup MB  seconds")
    for limit in limits:
        p, sampler = profile(chosen.input, chosen.output, limit, chosen.flags)
        found.append((p, sampler))
        kernel = "-" if p.cgroup_bytes is None else str(p.cgroup_bytes // MB)
        print(
            f"{limit:8}  {p.projected_bytes // MB:12}  {p.peak_bytes // MB:7}  {p.peak_file_bytes // MB:11}  {kernel:>9}  {p.seconds:7.1f}"
            f"  {p.fault or ''}",
            flush=True,
        )
    report(found, chosen.report)
    return int(any(p.fault for p, _ in found))


if __name__ == "__main__":
    sys.exit(main())
