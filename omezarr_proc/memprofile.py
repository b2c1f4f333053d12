"""How much memory a conversion takes, against what was planned and what it may take.

    python -m omezarr_proc.memprofile --limit 512 [--sweep 128,256,512] [--report NAME] INPUT OUTPUT [-- FLAG ...]

Runs `python -m omezarr_proc INPUT --output-dir OUTPUT FLAG...` with that limit, in a memory cgroup of its own where this user may make
one, and samples all its processes. Writes NAME.csv (every sample), NAME.json (figures) and, where matplotlib is installed (extra `plot`),
NAME.png. The exit status is 1 when the conversion failed or its peak exceeds the limit or the projected peak. OUTPUT should not be on a
tmpfs, which the cgroup would count.
"""

import argparse
import csv
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from omezarr_proc.plan.cgroups import cgroups
from omezarr_proc.profiling.sampling import Sampler

MB = 1 << 20


@dataclasses.dataclass
class Profile:
    """One conversion under one limit; bytes of all processes together.

    projected_bytes  the plan's peak, 0 where no plan was made
    cgroup_bytes     the kernel's own highest count, page cache of the input and the output included; None without a cgroup
    phases           (seconds since the begin, name)
    status           exit status; negative for a signal
    """

    limit_bytes: int
    projected_bytes: int
    peak_bytes: int
    peak_file_bytes: int
    cgroup_bytes: int | None
    seconds: float
    status: int
    phases: list[tuple[float, str]]

    @property
    def fault(self) -> str | None:
        """What is wrong, None where nothing is."""
        if self.status:
            return f"the conversion ended with status {self.status}"
        if self.peak_bytes > self.limit_bytes:
            return f"the peak of {self.peak_bytes // MB} MB is above the limit"
        if self.peak_bytes > self.projected_bytes:
            return f"the peak of {self.peak_bytes // MB} MB is above the projected {self.projected_bytes // MB} MB"
        return None


def profile(source: Path, output: Path, limit_mb: int, flags: Sequence[str] = ()) -> tuple[Profile, Sampler]:
    """Convert `source` once and watch it."""
    command = [sys.executable, "-m", "omezarr_proc", "--existing", "force", "--log-level", "DEBUG", "--log-format", "json"]
    command += ["--memory-limit-mb", str(limit_mb), "--output-dir", str(output), *flags, str(source)]
    with _cgroup(limit_mb * MB) as group:
        if group:
            command = ["/bin/sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group), *command]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        messages: list[tuple[float, dict[str, Any]]] = []
        with Sampler(process.pid) as sampler:
            listener = threading.Thread(target=_listen, args=(process.stderr, messages, sampler.began), daemon=True)
            listener.start()
            status = process.wait()
            seconds = time.monotonic() - sampler.began
        listener.join()  # ends with the last of the processes
        process.stderr.close()
        highest = _highest(group) if group else None
    phases = [(at, str(message["phase"])) for at, message in messages if "phase" in message]
    projected = max((int(message["projected_bytes"]) for _, message in messages if "projected_bytes" in message), default=0)
    files = max((sum(s.file_bytes for s in sampler.samples if s.seconds == at) for at, _ in sampler.totals), default=0)
    return Profile(limit_mb * MB, projected, sampler.peak, files, highest, seconds, status, phases), sampler


def _listen(stderr: IO[str], messages: list[tuple[float, dict[str, Any]]], began: float) -> None:
    for line in stderr:
        try:
            message = json.loads(line)
        except ValueError:
            message = {"level": "ERROR", "message": line.rstrip()}
        messages.append((time.monotonic() - began, message))
        if message.get("level") in ("WARNING", "ERROR", "CRITICAL"):
            print(message.get("message"), file=sys.stderr)


@contextmanager
def _cgroup(limit: int) -> Iterator[Path | None]:
    """A memory cgroup with a limit, below the own one; None where this user may not make one."""
    for parent in cgroups(Path("/")):
        group = parent.path / f"omezarr_proc-{os.getpid()}"
        knob = group / ("memory.max" if parent.version == 2 else "memory.limit_in_bytes")
        if "memory" not in parent.controllers:
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            knob.write_text(str(limit))
            (group / "cgroup.procs").open("w").close()
        except OSError:  # version 2 without the controller in its parent's subtree_control
            group.rmdir()
            continue
        try:
            yield group
        finally:
            for _ in range(100):  # the last process leaves it a moment after it has ended
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)
        return
    yield None


def _highest(group: Path) -> int | None:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):
            continue
    return None


def report(found: Sequence[tuple[Profile, Sampler]], name: str) -> None:
    """Write NAME.csv, NAME.json and, with matplotlib, NAME.png."""
    with open(f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["limit_bytes", "seconds", "pid", "bytes", "unique_bytes", "shared_bytes", "file_bytes"])
        rows.writerows((p.limit_bytes, *dataclasses.astuple(sample)) for p, sampler in found for sample in sampler.samples)
    Path(f"{name}.json").write_text(json.dumps([dataclasses.asdict(p) | {"fault": p.fault} for p, _ in found], indent=1), encoding="utf-8")
    try:
        from omezarr_proc.profiling.memplot import plot
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("matplotlib"):
            raise
        print("no plot: matplotlib is not installed (extra `plot`)", file=sys.stderr)
    else:
        plot(found, f"{name}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile, print a line for each limit, write the report."""
    parser = argparse.ArgumentParser(prog="python -m omezarr_proc.memprofile", description=__doc__.partition("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path, help="folder of the dataset")
    parser.add_argument("flags", nargs="*", help="of the converter, after --")
    parser.add_argument("--limit", type=int, default=512, metavar="MB")
    parser.add_argument("--sweep", metavar="MB,MB,...", help="several limits, one after another")
    parser.add_argument("--report", default="memprofile", metavar="NAME")
    chosen = parser.parse_args(arguments)
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
