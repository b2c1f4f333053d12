# ruff: noqa: F811  # fixtures by their names
"""Small images into an object store: begun and published while others are made, each as if it were alone."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import obstore
import pytest
import tifffile
from conversion import digest
from objectserver import Prefix, object_server, store  # noqa: F401  # fixtures
from runs import Program

from omezarr_proc.app.in_stores import AT_A_TIME
from omezarr_proc.build.image import Conversion
from omezarr_proc.cli import main
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit
from omezarr_proc.publish.in_store import InStore
from omezarr_proc.publish.store_lock import StoreLock

COUNT = AT_A_TIME + 3
FLAGS = ("--tile-size", "64", "--min-dimension", "64", "--initial-downsample", "1", "--max-workers", "2")
NAMES = [f"{number:02}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """Inputs, and what each becomes in a folder."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 255, (150, 130), dtype=np.uint8)
        tifffile.imwrite(folder / f"in/{name}.tif", pixels, tile=(64, 64), compression="zlib")
    assert main(["--input-dir", str(folder / "in"), "--output-dir", str(folder / "out"), "--quiet", *FLAGS]) == 0
    return folder / "in", {name: digest(folder / f"out/{name}.ome.zarr") for name in NAMES}


@pytest.fixture
def inputs(made: tuple[Path, dict[str, dict[str, str]]], tmp_path: Path) -> Path:
    shutil.copytree(made[0], tmp_path / "in")  # with their times, which count
    return tmp_path / "in"


@pytest.fixture
def expected(made: tuple[Path, dict[str, dict[str, str]]]) -> dict[str, dict[str, str]]:
    return made[1]


def words(store: Prefix, inputs: Path, *flags: str) -> list[str]:
    return ["--input-dir", str(inputs), "--output-dir", f"{store.address}/out", "--quiet", *FLAGS, *flags]


def found(store: Prefix) -> dict[str, dict[str, str]]:
    datasets: dict[str, dict[str, str]] = {}
    for key, of_it in store.objects("out/").items():
        name, _, inner = key.partition(".ome.zarr/")
        datasets.setdefault(name, {})[inner] = of_it
    return datasets


def test_each_is_the_dataset_of_a_folder_with_few_requests_and_is_left_alone_then(store, inputs, expected, tmp_path):
    assert main(words(store, inputs)) == 0
    assert found(store) == expected
    payload = sum(map(len, expected.values()))
    assert len(store.proxy.requests) - payload <= 17 * COUNT  # two of them find out whether the bucket has conditional puts
    store.proxy.requests.clear()
    assert main(words(store, inputs, "--report", str(tmp_path / "report.json"))) == 0
    assert len(store.proxy.requests) <= 4 * COUNT + 2
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    assert [(Path(row["source"]).stem, row["outcome"]) for row in rows] == [(name, "skipped") for name in NAMES]


def test_the_next_one_is_locked_while_one_is_made_and_one_is_published_while_the_next_is_made(store, inputs, expected, monkeypatch):
    stage, publish, enter = Conversion.stage, InStore.publish, StoreLock.__enter__
    locked, staged = ({name: threading.Event() for name in NAMES} for _ in range(2))
    patience = 60.0

    def stages(conversion, *rest, **more):
        name = Path(conversion.source).stem
        if name == NAMES[0]:
            assert all(locked[other].wait(patience) for other in NAMES[1:AT_A_TIME])
        staged[name].set()
        return stage(conversion, *rest, **more)

    def publishes(tree):
        name = tree.objects.root.name.partition(".")[0]
        if name == NAMES[0]:
            assert staged[NAMES[1]].wait(patience)
        publish(tree)

    def enters(lock):
        entered = enter(lock)
        locked[lock._dataset.name.partition(".")[0]].set()
        return entered

    monkeypatch.setattr(Conversion, "stage", stages)
    monkeypatch.setattr(InStore, "publish", publishes)
    monkeypatch.setattr(StoreLock, "__enter__", enters)
    assert main(words(store, inputs)) == 0
    assert found(store) == expected


def test_one_that_fails_takes_no_other_with_it_and_all_are_told_in_order(store, inputs, expected, tmp_path):
    assert main([str(inputs / "01.tif"), *words(store, inputs)[2:]]) == 0  # is there
    assert main([str(inputs / "02.tif"), *words(store, inputs, "--compression-level", "1")[2:]]) == 0  # is replaced
    obstore.put(store.client, f"{store.prefix}/out/03.ome.zarr/notes.txt", b"mine")
    data = bytearray((inputs / "04.tif").read_bytes())
    with tifffile.TiffFile(inputs / "04.tif") as tif:
        start = tif.pages[0].dataoffsets[2]
    data[start : start + 400] = bytes(400)
    (inputs / "04.tif").write_bytes(data)
    obstore.put(store.client, f"{store.prefix}/out/05.ome.zarr/.omezarr_proc/record/00000000", b"half of one")
    assert main(words(store, inputs, "--report", str(tmp_path / "report.json"))) == Exit.CANNOT_WRITE
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    assert [Path(row["source"]).stem for row in rows] == NAMES
    statuses = {Path(row["source"]).stem: row["outcome"] for row in rows}
    assert {name: status for name, status in statuses.items() if status != "converted"} == {"01": "skipped", "03": "failed", "04": "failed"}
    there = found(store)
    assert there.pop("03").keys() == {"notes.txt"}
    assert there == {name: of_it for name, of_it in expected.items() if name not in ("03", "04")}


def test_a_picture_that_is_there_is_kept_in_step(store, inputs, expected):
    obstore.put(store.client, f"{store.prefix}/out/02.ome.zarr.png", b"of an older one")
    assert main(words(store, inputs)) == 0
    assert bytes(obstore.get(store.client, f"{store.prefix}/out/02.ome.zarr.png").bytes()).startswith(b"\x89PNG")


@pytest.mark.parametrize("at", [60, *(pytest.param(at, marks=pytest.mark.slow) for at in (5, 20, 35, 90, 120, 150, 200, -10, -3))])
def test_a_run_that_is_killed_at_a_request_leaves_whole_ones_or_none_and_is_gone_on_with(store, inputs, expected, at):
    if at < 0:
        assert main([*words(store, inputs), "--output-dir", f"{store.address}/count"]) == 0
        at += len(store.proxy.requests)
        store.proxy.requests.clear()
    program = Program(words(store, inputs), environ=store.environ)

    def kill(request):
        if request.number == at:
            os.kill(program.process.pid, signal.SIGKILL)
            return "cut"
        return None

    with program:
        store.proxy.fault = kill
        program.finish()
    store.proxy.fault = lambda request: None
    for name, there in found(store).items():
        whole = {key: of_it for key, of_it in there.items() if not key.startswith(".omezarr_proc/")}
        assert "zarr.json" not in there or whole == expected[name]
    assert main(words(store, inputs)) == 0
    assert found(store) == expected


def test_who_was_killed_is_followed_with_a_record_of_all(store, inputs, expected):
    with Program(words(store, inputs), environ=store.environ) as program:

        def kill(request):
            if request.method == "PUT" and "/00.ome.zarr/0/c/" in request.path:
                os.kill(program.process.pid, signal.SIGKILL)
                return "cut"
            return None

        store.proxy.fault = kill
        program.finish()
    assert not any(request.path.endswith("/00.ome.zarr/.omezarr_proc/record/00000002") for request in store.proxy.requests)
    store.proxy.fault = lambda request: None
    assert main(words(store, inputs)) == 0
    noted = [
        request.path for request in store.proxy.requests if request.method == "PUT" and "/00.ome.zarr/.omezarr_proc/rec" in request.path
    ]
    assert any(path.endswith("/00000002") for path in noted)
    assert found(store) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_leaves_no_lock_and_nothing_half(store, inputs, expected, number):
    with Program(words(store, inputs), environ=store.environ) as program:

        def stop(request):
            if request.method == "PUT" and "/01.ome.zarr/0/c/" in request.path and not stopped:
                stopped.append(request)
                os.kill(program.process.pid, number)
            return

        stopped: list[object] = []
        store.proxy.fault = stop
        status, _ = program.finish()
    assert status in (Exit.INTERRUPTED, Exit.TERMINATED)
    there = found(store)
    assert not [name for name in there if ".omezarr_proc/lock" in there[name]]
    assert {name: of_it for name, of_it in there.items() if "zarr.json" in of_it and of_it != expected[name]} == {}
    assert all({"zarr.json", ".omezarr_proc/record/00000000"} & of_it.keys() for of_it in there.values())  # known to be ours
    assert main(words(store, inputs)) == 0
    assert found(store) == expected


@pytest.mark.slow
@pytest.mark.parametrize("fault", [503, 500, "cut", "half", "lost"])
def test_every_fifth_request_may_fail(store, inputs, expected, fault):
    store.proxy.fault = lambda request: fault if request.number % 5 == 2 else None
    with Program(words(store, inputs), environ=store.environ) as program:
        assert program.finish() == (0, "")
    store.proxy.fault = lambda request: None
    assert found(store) == expected


def test_a_lock_of_another_run_is_left_to_it(store, inputs, expected, monkeypatch, capsys):
    monkeypatch.setattr("omezarr_proc.publish.store_lock.is_dead", lambda holder: False)
    with StoreLock(Address(f"{store.address}/out/02.ome.zarr"), heartbeat=0.2):
        assert main(words(store, inputs)) == Exit.TRY_AGAIN
    assert "works on this dataset" in capsys.readouterr().err
    assert found(store) == {name: of_it for name, of_it in expected.items() if name != "02"}
