"""Conversions against the work that they cannot avoid, and against other programs; the table of docs/performance.md.

make benchmark ARGS="..."  or  python -m tests.benchmarks.speed [CASE ...] [--scale 1] [--rounds 5] [--compare] [--json FILE]

For each input, in turn and `rounds` times: the unavoidable work as N simultaneous single-threaded copies (see `work`), then the conversion
with default settings, then the other programs. All output goes to a tmpfs. Figures are medians; CPU seconds are those of all processes
and tell more than wall time where the machine does other things too.
"""

import argparse
import compileall
import contextlib
import ctypes
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import omezarr_proc
from omezarr_proc.app.profiling.sampling import Sampler
from tests.benchmarks import inputs, peers
from tests.benchmarks.inputs import CASES, Case

PR_SET_CHILD_SUBREAPER = 36
START_UP = "import omezarr_proc.build.image, omezarr_proc.app.batch, omezarr_proc.tiff.describe.images, zarr.codecs, zarr.storage"


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all its descendants."""
    before = _reaped()
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return wall, _reaped() - before


def _reaped() -> float:
    """CPU seconds of all descendants that have ended, those that their parents left behind too; nobody who still runs is waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    usage = os.times()
    return usage.children_user + usage.children_system


def make_ready() -> None:
    """Compile the package, as an installed one is, and become the parent of what is left behind, so that its CPU time counts."""
    compileall.compile_dir(Path(omezarr_proc.__file__).parent, quiet=1)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def convert(case: Case, path: Path, out: Path) -> list[str]:
    """The command that converts `path` into `out`."""
    return [sys.executable, "-m", "omezarr_proc", "--quiet", "--existing", "force", "--output-dir", str(out), *case.flags, str(path)]


def clean(folder: Path) -> Path:
    """`folder`, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def unavoidable(path: Path, dataset: Path, out: Path, cores: int) -> dict[str, list[float]]:
    """{stage: [CPU seconds of all copies, wall seconds of a copy]}."""
    command = [sys.executable, "-m", "tests.benchmarks.work", str(path), str(dataset), str(clean(out))]
    copies = [
        subprocess.Popen([*command, str(k), str(cores)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for k in range(cores)
    ]
    for copy in copies:
        assert copy.stdout is not None
        copy.stdout.readline()
    for copy in copies:
        assert copy.stdin is not None
        copy.stdin.write("go\n")
        copy.stdin.flush()
    found = [json.loads(copy.communicate()[0]) for copy in copies]
    return {stage: [sum(f[stage][0] for f in found), sum(f[stage][1] for f in found) / cores] for stage in found[0]}


def measure(case: Case, arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All figures of one case."""
    path = inputs.make(case, arguments.scale, arguments.inputs)
    reference = clean(scratch / "reference")
    command = convert(case, path, reference)
    with Sampler(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid) as sampler:
        sampler.wait()
    (dataset,) = reference.glob("*.ome.zarr")
    names = [name for name in peers.PEERS if arguments.compare and case.rgb and peers.installed(name)]
    figures: dict[str, list[tuple[float, float]]] = {}
    stages: list[dict[str, list[float]]] = []
    imports = []
    for _ in range(arguments.rounds):
        stages.append(unavoidable(path, dataset, scratch / "work", arguments.cores))
        figures.setdefault("omezarr_proc", []).append(timed(convert(case, path, clean(scratch / "own"))))
        imports.append(timed([sys.executable, "-c", START_UP])[0])
        for name in names:
            peer = [sys.executable, "-m", "tests.benchmarks.peers", name, str(path), str(clean(scratch / "peer") / "image.ome.zarr")]
            figures.setdefault(name, []).append(timed(peer))
    for folder in ("reference", "work", "own", "peer"):
        shutil.rmtree(scratch / folder, ignore_errors=True)
    work = {stage: [statistics.median(s[stage][i] for s in stages) for i in (0, 1)] for stage in stages[0]}
    medians = {name: [statistics.median(run[i] for run in runs) for i in (0, 1)] for name, runs in figures.items()}
    wall, cpu = medians["omezarr_proc"]
    least_cpu, least_wall = (sum(seconds[i] for seconds in work.values()) for i in (0, 1))
    factor, start, most = case.goal
    started = statistics.median(imports)
    limit = factor * (started if case.name == "small" else least_wall) + start
    return {
        "case": case.name,
        "what": case.what,
        "shape": case.scaled(arguments.scale),
        "work": work,
        "least_wall": least_wall,
        "least_cpu": least_cpu,
        "runs": medians,
        "wall": wall,
        "cpu": cpu,
        "imports": started,
        "goal": limit,
        "ratio": (wall - start) / (started if case.name == "small" else least_wall),
        "cpu_ratio": cpu / least_cpu,
        "peak_mb": sampler.peak / 2**20,
        "goal_mb": most,
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as markdown. The ratio is that of wall times, less the start-up that the goal allows; for `small`, over the imports."""
    heads = (
        "input",
        "decode + average + encode + write, CPU s",
        "work / cores, s",
        "conversion, s",
        "goal, s",
        "ratio",
        "CPU s",
        "CPU ratio",
    )
    lines = [f"| {' | '.join(heads)} | peak MB (goal) |", "|---" * (len(heads) + 1) + "|"]
    for r in results:
        parts = " + ".join(f"{seconds[0]:.2f}" for seconds in r["work"].values())
        lines.append(
            f"| {r['case']}: {r['what']} | {parts} | {r['least_wall']:.2f} | {r['wall']:.2f} | {r['goal']:.2f} | {r['ratio']:.2f}"
            f" | {r['cpu']:.2f} | {r['cpu_ratio']:.2f} | {r['peak_mb']:.0f} ({r['goal_mb']}) |"
        )
    others = [(r, name, figure) for r in results for name, figure in r["runs"].items() if len(r["runs"]) > 1]
    if others:
        lines += ["", "| input | program | wall s | CPU s |", "|---|---|---|---|"]
        lines += [f"| {r['case']} | {name} | {wall:.1f} | {cpu:.1f} |" for r, name, (wall, cpu) in others]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=[name for name in CASES if name != "D"], metavar="CASE", help=" ".join(CASES))
    parser.add_argument("--scale", type=float, default=1.0, help="height and width of the inputs, as a fraction")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compare", action="store_true", help=f"also those of {', '.join(peers.PEERS)} that are installed, on RGB inputs")
    parser.add_argument("--inputs", type=Path, default=Path(tempfile.gettempdir()) / "omezarr_proc-benchmark", help="folder of the inputs")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    make_ready()
    results = []
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
        for name in chosen.cases:
            results.append(measure(CASES[name], chosen, Path(scratch)))
            print(table(results[-1:]), flush=True)
    report = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": chosen.cores,
        "scale": chosen.scale,
        "results": results,
    }
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1))
    print(f"\n{table(results)}")


if __name__ == "__main__":
    main()
