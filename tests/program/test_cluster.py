# ruff: noqa: F811  # fixtures by their names
"""CLUSTER on a real Dask cluster: the bytes of one run, whatever dies meanwhile, and one account of it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from objectserver import Prefix, object_server, store  # noqa: F401  # fixtures
from plates import write_plate
from runs import ROOT, Program, digest, slide, stack, volume

FLAGS = ("--tile-size", "64", "--initial-downsample", "1")
# The program, cutting into shares of less than a second.
FINE = """
import sys
from omezarr_proc.app.cluster import waiting
from omezarr_proc.cli import main
waiting.WORTH_BYTES, waiting.A_WORKER = 1 << 19, 2
{}
sys.exit(main())
"""
# In a worker's sitecustomize: records are written at once, and slowly, so that there is a middle of the work.
PACED = """
import sys, time
if "dask" in str(sys.orig_argv):
    from omezarr_proc.publish.record import Record
    add = Record.add
    def paced(record, units):
        add(record, units)
        record.flush()
        time.sleep(0.02)
    Record.add = paced
"""
FINE_COMMAND = (sys.executable, "-c", FINE.format(""))


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Cluster:
    """A scheduler and workers with a thread each, as somebody starts them by hand; they know nothing of the program but where it is."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("distributed")
        self.folder, self.address = folder, f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        host, port = self.address.removeprefix("tcp://").split(":")
        self.scheduler = self._start("scheduler", "--host", host, "--port", port)

    def add(self, *flags: str, **environ: str) -> subprocess.Popen[bytes]:
        worker = self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *flags, **environ)
        self.workers.append(worker)
        return worker

    def _start(self, what: str, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, *words, "--no-dashboard"]
        command += ["--local-directory", str(self.folder)] if what == "worker" else []
        with open(self.folder / f"{what}{len(self.workers)}.log", "wb") as log:
            variables = os.environ | {"PYTHONPATH": str(ROOT)} | environ
            return subprocess.Popen(command, stdout=log, stderr=log, env=variables, cwd=self.folder)

    def wait(self) -> None:
        """Until the scheduler knows all workers."""
        logs = [self.folder / f"worker{n}.log" for n in range(len(self.workers))]
        deadline = time.monotonic() + 60
        while not all(b"Registered to" in log.read_bytes() for log in logs):
            assert time.monotonic() < deadline, [log.read_text() for log in logs]
            time.sleep(0.05)

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def cluster_of(folder: Path, workers: int, **environ: str) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        for _ in range(workers):
            cluster.add(**environ)
        cluster.wait()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from cluster_of(tmp_path_factory.mktemp("cluster"), 2)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/sitecustomize.py").write_text(PACED)
    yield from cluster_of(tmp_path / "cluster", 2, PYTHONPATH=f"{tmp_path / 'cluster'}:{ROOT}")


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A batch of all kinds, one of which cannot be opened and one cannot be decoded, and what one run makes of it."""
    source = tmp_path_factory.mktemp("batch") / "in"
    source.mkdir()
    slide(source / "slide.ome.tif", 900)
    stack(source / "stack.ome.tif", 3, 300)
    volume(source / "volume.ome.tif", 66, 100)
    (source / "broken.tif").write_bytes(b"II*\0no TIFF")
    damaged = bytearray(slide(source / "damaged.ome.tif", 600).read_bytes())
    damaged[3000:4000] = bytes(1000)
    (source / "damaged.ome.tif").write_bytes(damaged)
    with Program(["--input-dir", source, "--output-dir", source.parent / "out", *FLAGS]) as program:
        assert program.finish()[0] == 1
    return source, digest(source.parent / "out")


def arguments(source: Path, out: Path, cluster: Cluster, *flags: str) -> list[str | Path]:
    return ["--input-dir", source, "--output-dir", out, *FLAGS, "--cluster", cluster.address, *flags]


def test_a_cluster_makes_what_one_run_makes(standing: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = batch
    report, out = tmp_path / "report.json", tmp_path / "out"
    with Program(arguments(source, out, standing, "--report", str(report), "--log-format", "json"), FINE_COMMAND) as program:
        status, text = program.finish()
    assert status == 1
    assert digest(out) == expected
    lines = [json.loads(line) for line in text.splitlines()]
    (cut,) = [line for line in lines if line["event"] == "cluster"]
    assert cut["shares"] == 4
    assert cut["datasets"] == 4
    found = json.loads(report.read_text())
    outcomes = {Path(image["source"]).name: image["outcome"] for image in found["images"]}
    assert outcomes == {name: "failed" if name[0] in "bd" else "converted" for name in sorted(os.listdir(source))}
    (damaged,) = [image["message"] for image in found["images"] if "damaged" in image["source"]]
    assert "plane" in damaged or "segment" in damaged
    assert f"(on the worker {standing.address.rpartition(':')[0]}" in damaged


def test_the_fields_of_a_plate_are_shared_out(standing: Cluster, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_plate(source / "screen.ome.tif", [(0, 0, 3), (1, 4, 3)])
    with Program(["--input-dir", source, "--output-dir", tmp_path / "one", *FLAGS]) as program:
        assert program.finish()[0] == 0
    with Program(arguments(source, tmp_path / "out", standing, "--log-format", "json"), FINE_COMMAND) as program:
        status, text = program.finish()
    assert status == 0, text
    (cut,) = [line for line in map(json.loads, text.splitlines()) if line["event"] == "cluster"]
    assert (cut["shares"], cut["datasets"]) == (4, 1)
    assert digest(tmp_path / "out") == digest(tmp_path / "one")


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_slide_that_goes_into_an_object_store_is_shared_out(store: Prefix, tmp_path: Path, *, dies: bool) -> None:
    source, folder = tmp_path / "in", tmp_path / "cluster"
    source.mkdir()
    folder.mkdir()
    slide(source / "slide.ome.tif", 900)
    (folder / "sitecustomize.py").write_text(PACED if dies else "")
    with Program(["--input-dir", source, "--output-dir", tmp_path / "one", *FLAGS]) as program:
        assert program.finish()[0] == 0
    with contextlib.contextmanager(cluster_of)(folder, 2, PYTHONPATH=f"{folder}:{ROOT}", **store.environ) as cluster:
        words = [
            "--input-dir",
            source,
            "--output-dir",
            f"{store.address}/out",
            *FLAGS,
            "--cluster",
            cluster.address,
            "--log-format",
            "json",
        ]
        with Program(words, FINE_COMMAND, store.environ) as program:
            if dies:
                assert program.wait_for(lambda: any("/0/c/" in request.path for request in store.proxy.requests))
                cluster.workers[0].kill()
            status, text = program.finish()
    assert status == 0, text
    (cut,) = [line for line in map(json.loads, text.splitlines()) if line["event"] == "cluster"]
    assert (cut["shares"], cut["datasets"]) == (4, 1)
    assert store.objects("out/") == digest(tmp_path / "one")


def test_what_keeps_a_cluster_from_working_is_said_in_a_line(standing: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    other = "from omezarr_proc.app.cluster import workers; workers.versions = lambda: ('omezarr_proc 9',)"
    alone = "from omezarr_proc.app.cluster import workers; workers.SCHEDULER_SECONDS = 0.2"
    for line, address, expected in (
        (
            other,
            standing.address,
            r"the worker tcp://127.0.0.1:\d+ \(and 1 more\) cannot be used: it has omezarr_proc \S+, .* 9: install the same",
        ),
        (alone, f"tcp://127.0.0.1:{free_port()}", "no scheduler answers there"),
        ("sys.modules['distributed'] = None", standing.address, r"needs the package distributed, .*: pip install 'omezarr-proc\[dask\]'"),
    ):
        words = [*arguments(batch[0], tmp_path, standing)[:-1], address, "--quiet"]
        with Program(words, (sys.executable, "-c", FINE.format(line))) as program:
            status, text = program.finish()
        assert status == (75 if line is alone else 2), text
        (said,) = [line for line in text.splitlines() if "broken.tif" not in line]
        assert re.search(expected, said), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_worker_without_the_program_is_told_of_and_lives(own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['omezarr_proc'] = None")
    bare = own.add(PYTHONPATH=str(hidden))
    own.wait()
    with Program(arguments(batch[0], tmp_path / "out", own), FINE_COMMAND) as program:
        status, text = program.finish()
    assert status == 2
    assert "cannot be used: it has no omezarr_proc of this version" in text
    assert bare.poll() is None


@pytest.mark.slow
def test_a_worker_that_does_not_answer_is_left_out(own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = batch
    own.workers[0].send_signal(signal.SIGSTOP)
    line = "from omezarr_proc.app.cluster import workers; workers.CHECK_SECONDS = 3"
    with Program(arguments(source, tmp_path / "out", own), (sys.executable, "-c", FINE.format(line))) as program:
        status, text = program.finish()
    assert status == 1
    assert "is not used: it is gone, or has not answered for 3 s" in text
    assert digest(tmp_path / "out") == expected


def at_work(out: Path) -> bool:
    return any(path.stat().st_size > 300 for path in out.glob(".*.part-*.record"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_dies_or_stands_still(own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path, how: int) -> None:
    source, expected = batch
    with Program(arguments(source, tmp_path / "out", own), FINE_COMMAND) as program:
        assert program.wait_for(lambda: at_work(tmp_path / "out"))
        own.workers[0].send_signal(how)
        time.sleep(3)
        own.workers[0].send_signal(signal.SIGCONT) if how == signal.SIGSTOP else own.add()
        status, text = program.finish()
    assert status == 1
    assert how == signal.SIGSTOP or "is gone; it is given out again" in text
    assert digest(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_stops_its_workers_and_is_gone_on_with(
    own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path, how: int
) -> None:
    source, expected = batch
    with Program(arguments(source, tmp_path / "out", own), FINE_COMMAND) as program:
        assert program.wait_for(lambda: at_work(tmp_path / "out"))
        program.process.send_signal(how)
        assert program.finish(4)[0] == (-9 if how == signal.SIGKILL else 128 + how)
    deadline = time.monotonic() + 5
    while list((tmp_path / "out").glob(".*.lock")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list((tmp_path / "out").glob(".*.lock")) == []
    with Program(arguments(source, tmp_path / "out", own), FINE_COMMAND) as program:
        assert program.finish()[0] == 1
    assert digest(tmp_path / "out") == expected


@pytest.mark.slow
def test_the_scheduler_dies(own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = batch
    with Program(arguments(source, tmp_path / "out", own), FINE_COMMAND) as program:
        assert program.wait_for(lambda: at_work(tmp_path / "out"))
        own.scheduler.kill()
        status, text = program.finish(40)
    assert status == 75
    assert "the scheduler does not answer any more" in text.splitlines()[-1]
    assert "Traceback" not in text
    for worker in own.workers:
        worker.wait(60)
    with Program(["--input-dir", source, "--output-dir", tmp_path / "out", *FLAGS]) as program:
        assert program.finish()[0] == 1
    assert digest(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_share_that_kills_its_workers_is_given_up(own: Cluster, batch: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly/sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'dask' in str(sys.orig_argv):\n"
        "    from omezarr_proc.build import image\n"
        "    stage = image.Conversion.stage\n"
        "    image.Conversion.stage = lambda self, *a, **k: os._exit(9) if 'stack' in self.source else stage(self, *a, **k)\n"
    )
    source, expected = batch
    for worker in own.workers:
        worker.kill()
    own.add(PYTHONPATH=f"{tmp_path / 'deadly'}:{ROOT}")
    with Program(arguments(source, tmp_path / "out", own), FINE_COMMAND) as program:
        while program.process.poll() is None:
            if own.workers[-1].poll() is not None:
                own.add(PYTHONPATH=f"{tmp_path / 'deadly'}:{ROOT}")
            time.sleep(0.1)
        status, text = program.finish()
    assert status == 71
    assert "was lost with its worker 3 times" in text
    made = {name for name in digest(tmp_path / "out") if name[0] != "."}  # what the killed ones have noted waits for another run
    assert made < expected.keys()
