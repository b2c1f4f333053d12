# ruff: noqa: F811  # fixtures by their names
"""Parts of an image in an object store: in any order, repeated, at once, killed and cut off, they make what one run makes."""

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import obstore
import pytest
from conversion import digest
from objectserver import Prefix, object_server, store  # noqa: F401  # fixtures
from runs import Program, slide

from omezarr_proc.cli import main
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit
from omezarr_proc.model.part import Part
from omezarr_proc.publish.existing import Standing
from omezarr_proc.publish.holder import moment
from omezarr_proc.publish.in_store import InStore
from omezarr_proc.publish.store_lock import StoreLock
from omezarr_proc.store.remote import Bucket

FLAGS = ("--tile-size", "128", "--initial-downsample", "1", "--quiet", "--max-workers", "2")
SHARDING = {"off": ("--sharding", "off"), "on": ("--sharding", "on", "--tile-size", "64")}
NAME = "out/slide.ome.zarr/"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    slide(folder / "slide.ome.tif", 1200)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What one run makes in a folder, without shards and with them."""
    out = tmp_path_factory.mktemp("one")
    for sharding in SHARDING:
        assert main(["--input-dir", str(source), "--output-dir", str(out / sharding), *FLAGS, *SHARDING[sharding]]) == 0
    return {sharding: digest(out / sharding / "slide.ome.zarr") for sharding in SHARDING}


def words(store: Prefix, source: Path, part: str = "", *flags: str) -> list[str]:
    return ["--input-dir", str(source), "--output-dir", f"{store.address}/out", *FLAGS, *(("--part", part) if part else ()), *flags]


def make(store: Prefix, source: Path, part: str = "", *flags: str) -> int:
    return main(words(store, source, part, *flags))


def is_published(store: Prefix) -> bool:
    return Bucket(Address(f"{store.address}/{NAME}")).exists("zarr.json")


# The program that dies as soon as it has noted once what is finished.
DYING = """
import os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.record import Record
add = Record.add
def last(record, units):
    add(record, units)
    record.flush()
    os.kill(os.getpid(), signal.SIGKILL)
Record.add = last
sys.exit(main())
"""
DYING_COMMAND = (sys.executable, "-c", DYING)
# The program that dies when all is made, just before it is published.
UNPUBLISHED = """
import os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.existing import Standing
from omezarr_proc.publish.holder import moment
from omezarr_proc.publish.in_store import InStore
InStore.publish = lambda tree: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


@pytest.mark.parametrize("sharding", SHARDING)
def test_parts_in_any_order_and_repeated_make_what_one_run_makes(store, source, expected, sharding, capsys) -> None:
    chance = random.Random(sharding)
    order = [*range(1, 6), *chance.choices(range(1, 6), k=2)]
    chance.shuffle(order)
    last = max(order.index(number) for number in range(1, 6))
    for at, number in enumerate(order):
        assert make(store, source, f"{number}/5", *SHARDING[sharding]) == 0
        assert is_published(store) == (at >= last)
    assert store.objects(NAME) == expected[sharding]
    assert main(["status", store.address]) == 0
    assert capsys.readouterr().out == "done: 1, not done: 0\n"


def test_what_is_missing_is_told(store, source, capsys) -> None:
    def status(*words: str) -> str:
        assert main(["status", store.address, *words]) == 1
        return capsys.readouterr().out

    assert make(store, source, "2/4") == 0
    with Program(words(store, source, "4/4"), DYING_COMMAND, store.environ) as program:
        program.finish()
    told = status()
    assert told.startswith(f"{store.address}/{NAME.rstrip('/')}: of 4 parts done: 2, at work: 4, not begun: 1, 3; start parts 1, 3 again; ")
    obstore.delete(store.client, [f"{store.prefix}/{NAME}.omezarr_proc/part-locks/4-of-4"])
    assert "done: 2, stopped: 4, not begun: 1, 3; start parts 1, 3-4 again; " in status()
    (one,) = json.loads(status("--json"))["unfinished"]
    assert (one["of"], one["done"], one["stopped"], one["missing"], one["again"]) == (4, [2], [4], [1, 3], ["1/4", "3/4", "4/4"])
    for number in (1, 3):
        assert make(store, source, f"{number}/4") == 0
    done = f"{store.prefix}/{NAME}.omezarr_proc/done/"
    (key,) = {entry["path"].split("/")[-2] for batch in obstore.list(store.client, done) for entry in batch}
    obstore.delete(store.client, [f"{done}{key}/3-of-4"])  # killed between its last note and that it is done
    assert "done: 1-2, stopped: 3-4; start parts 3-4 again; " in status()


@pytest.mark.parametrize(
    "at", [60, *(pytest.param(at, marks=pytest.mark.slow) for at in (5, 9, 12, 16, 20, 25, 120, -60, -35, -20, -12, -6, -3, -1))]
)
def test_a_part_that_is_killed_at_a_request_is_repeated(store, source, expected, at) -> None:
    """`at` counts those of the part that publishes; below 0 from their end."""
    assert make(store, source, "2/2") == 0
    if at < 0:
        for number in (2, 1):
            store.proxy.requests.clear()
            assert main([*words(store, source, f"{number}/2"), "--output-dir", f"{store.address}/count"]) == 0
        at += len(store.proxy.requests)
    program = Program(words(store, source, "1/2"), environ=store.environ)

    def kill(request):
        if request.number == at:
            os.kill(program.process.pid, signal.SIGKILL)
            return "cut"
        return None

    store.proxy.requests.clear()
    with program:
        store.proxy.fault = kill
        status, text = program.finish()
        assert status in (-9, 0), text
    store.proxy.fault = lambda request: None
    left = store.objects(NAME)
    assert "zarr.json" not in left or {key: left[key] for key in left if not key.startswith(".omezarr_proc")} == expected["off"]
    assert make(store, source, "1/2") == 0
    assert store.objects(NAME) == expected["off"]


def test_who_dies_publishing_is_followed_by_any_part(store, source, expected) -> None:
    assert make(store, source, "1/2") == 0
    with Program(words(store, source, "2/2"), (sys.executable, "-c", UNPUBLISHED), store.environ) as program:
        assert program.finish()[0] == -9
    assert not is_published(store)
    assert make(store, source, "1/2") == 0
    assert store.objects(NAME) == expected["off"]


@pytest.mark.parametrize("latency", [0.0, pytest.param(0.05, marks=pytest.mark.slow)])
def test_all_parts_at_once_and_one_of_them_twice(store, source, expected, latency) -> None:
    store.proxy.latency = latency
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(Program(words(store, source, f"{n}/3"), environ=store.environ)) for n in (1, 1, 2, 3)]
        ends = [program.finish() for program in programs]
    assert sorted(status for status, _ in ends) in ([0, 0, 0, 0], [0, 0, 0, 75]), ends
    assert store.objects(NAME) == expected["off"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [503, 500, "half", "cut", "lost"])
def test_every_fifth_request_may_fail(store, source, expected, fault) -> None:
    store.proxy.fault = lambda request: fault if request.number % 5 == 2 else None
    for number in (3, 1, 2):
        with Program(words(store, source, f"{number}/3"), environ=store.environ) as program:
            assert program.finish() == (0, "")
    store.proxy.fault = lambda request: None
    assert store.objects(NAME) == expected["off"]


def test_parts_of_another_key_are_refused_until_what_is_left_is_cleaned(store, source, expected, capsys) -> None:
    assert make(store, source, "1/2", "--compression-level", "1") == 0
    assert make(store, source, "2/2") == Exit.CANNOT_WRITE
    assert "part 1/2 of this dataset has been worked on by another version, with other settings" in capsys.readouterr().err
    with StoreLock(Address(f"{store.address}/{NAME}"), Part(2, 2), heartbeat=0.5):
        assert main(["clean", store.address]) == 0
    assert "works on part 2/2 of this dataset" in capsys.readouterr().out
    bucket = Bucket(Address(f"{store.address}/{NAME}"))
    last = moment(max(map(bucket.changed, bucket.keys(".omezarr_proc/"))))
    assert main(["clean", store.address]) == 0
    assert capsys.readouterr().out.endswith(f"an unfinished conversion is removed, last worked on {last}\n")
    assert store.objects() == {}
    for number in (1, 2):
        assert make(store, source, f"{number}/2") == 0
    assert store.objects(NAME) == expected["off"]


def test_a_run_without_parts_goes_on_from_them_but_not_beside_them(store, source, expected, capsys) -> None:
    dataset = Address(f"{store.address}/{NAME}")
    assert make(store, source, "1/3") == 0
    with StoreLock(dataset, Part(2, 3), heartbeat=0.5):
        assert make(store, source) == Exit.TRY_AGAIN
    assert "works on part 2/3 of this dataset" in capsys.readouterr().err
    store.proxy.requests.clear()
    assert make(store, source) == 0
    assert any(request.method == "GET" and "/0/c/" in request.path for request in store.proxy.requests)  # what the part has made
    assert store.objects(NAME) == expected["off"]


def test_parts_go_on_from_a_run_without_and_from_another_number_of_them(store, source, expected) -> None:
    with Program(words(store, source), DYING_COMMAND, store.environ) as program:
        assert program.finish()[0] == -9
    with Program(words(store, source, "1/5"), DYING_COMMAND, store.environ) as program:
        assert program.finish()[0] == -9
    store.proxy.requests.clear()
    for number in (2, 1):
        assert make(store, source, f"{number}/2") == 0
    assert any(request.method == "GET" and "/0/c/" in request.path for request in store.proxy.requests)  # what these have made
    assert store.objects(NAME) == expected["off"]  # nor a lock of who was killed


def test_a_dataset_is_removed_by_the_first_part_of_the_one_that_replaces_it(store, source, expected) -> None:
    assert make(store, source, "", "--compression-level", "1") == 0
    obstore.put(store.client, f"{store.prefix}/{NAME}labels/0/c/0", b"of the old one")
    assert make(store, source, "2/2") == 0
    assert not is_published(store)
    assert make(store, source, "1/2") == 0
    assert store.objects(NAME) == expected["off"]


def test_a_prefix_that_is_the_dataset_is_made_in_parts_too(store, source, expected) -> None:
    obstore.put(store.client, f"{store.prefix}/out/notes.txt", b"mine")
    for number in (2, 1):
        assert make(store, source, f"{number}/2", "--output-layout", "root") == 0
    found = store.objects("out/")
    assert found.pop("notes.txt")
    assert found == expected["off"]


def test_a_part_that_comes_when_all_is_published_does_not_begin_anew(store, source, expected, monkeypatch, capsys) -> None:
    """It has looked before, when nothing was there yet."""
    looked = []

    def looks(dataset: Address, *rows: Iterable[str]) -> Standing:
        if looked:
            return look(dataset, *rows)
        looked.append(dataset)
        found = look(dataset, *rows)
        for number in (1, 2):
            with Program(words(store, source, f"{number}/2"), environ=store.environ) as program:
                assert program.finish() == (0, "")
        return found

    look = InStore.look
    monkeypatch.setattr(InStore, "look", looks)
    assert make(store, source, "2/2") == 0
    assert store.objects(NAME) == expected["off"]


def test_broken_pixels_leave_nothing_of_their_part(store, tmp_path, capsys) -> None:
    slide(tmp_path / "slide.ome.tif", 1200)
    data = bytearray((tmp_path / "slide.ome.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    (tmp_path / "slide.ome.tif").write_bytes(data)
    ends = [make(store, tmp_path, f"{number}/2") for number in (1, 2)]
    assert 1 in ends
    assert set(ends) <= {0, 1}
    assert not is_published(store)
    assert main(["status", store.address]) == 1
    assert "not begun" in capsys.readouterr().out
