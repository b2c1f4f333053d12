# ruff: noqa: F811  # fixtures by their names
"""Datasets in an object store, on a real server: the same bytes as in a folder; old, new or none; killed, cut off, gone on with."""

import hashlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import obstore
import pytest
import tifffile
from conversion import digest
from objectserver import object_server, store  # noqa: F401  # fixtures
from runs import Program, run

from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.cli import main
from omezarr_proc.config.settings import Settings
from omezarr_proc.host import patience
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit, OutputError, StoreUnavailableError
from omezarr_proc.publish import store_lock
from omezarr_proc.publish.hidden import MAGIC
from omezarr_proc.publish.history import header
from omezarr_proc.publish.holder import myself
from omezarr_proc.publish.in_store import InStore
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.store_lock import StoreLock
from omezarr_proc.store.checksums import changed, checksum
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.remote import Bucket
from omezarr_proc.tiff.describe.images import open_images

FLAGS = ("--tile-size", "64", "--quiet", "--max-workers", "2")


@pytest.fixture
def source(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 999, (2, 600, 500), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, tile=(128, 128), compression="zlib", ome=True, metadata={"axes": "CYX"})
    return tmp_path / "a.ome.tif"


@pytest.fixture
def expected(source, tmp_path):
    assert main([str(source), "--output-dir", str(tmp_path / "local"), *FLAGS]) == 0
    return digest(tmp_path / "local/a.ome.zarr")


def to(store, source, *flags):
    return [str(source), "--output-dir", f"{store.address}/out", *FLAGS, *flags]


def test_a_dataset_in_a_store_is_that_in_a_folder_and_from_bucket_to_bucket(store, source, expected, capsys):
    assert main(to(store, source)) == 0
    assert store.objects("out/a.ome.zarr/") == expected
    store.proxy.requests.clear()
    assert main(to(store, source)) == 0
    assert len(store.proxy.requests) < 8  # it is there already
    store(source, "in/a.ome.tif")
    assert main(["--input-dir", f"{store.address}/in", "--output-dir", f"{store.address}/out2", *FLAGS]) == 0
    found = store.objects("out2/a.ome.zarr/")
    assert {key for key in found | expected if found.get(key) != expected.get(key)} == {"zarr.json"}  # the key of the dataset
    assert capsys.readouterr().err == ""


def test_parts_share_out_whole_images(store, source, expected):
    other = source.parent / "b.ome.tif"
    other.write_bytes(source.read_bytes())
    folder = ["--input-dir", str(source.parent), "--output-dir", f"{store.address}/out", *FLAGS]
    assert main([*folder, "--part", "2/2"]) == 0
    assert len({key.partition("/")[0] for key in store.objects("out/")}) == 1
    assert main([*folder, "--part", "1/2"]) == 0
    assert store.objects("out/a.ome.zarr/") == expected
    assert {key.partition("/")[0] for key in store.objects("out/")} == {"a.ome.zarr", "b.ome.zarr"}


@pytest.mark.parametrize("page", [1000, 3])
def test_what_is_replaced_loses_its_root_first_and_the_new_one_gets_it_last(store, source, expected, page, monkeypatch):
    monkeypatch.setattr("omezarr_proc.publish.store_contents.PAGE", page)  # what is known of a place at once
    assert main(to(store, source, "--compression-level", "1")) == 0
    obstore.put(store.client, f"{store.prefix}/out/a.ome.zarr/labels/0/c/0", b"of the old one")
    store.proxy.requests.clear()
    assert main(to(store, source)) == 0
    assert store.objects("out/a.ome.zarr/") == expected
    written = [
        request for request in store.proxy.requests if request.method in ("PUT", "DELETE", "POST") and ".omezarr_proc/" not in request.path
    ]
    puts = [request.path.partition("a.ome.zarr/")[2] for request in written if request.method == "PUT"]
    assert written[0].method != "PUT"
    assert puts[-1] == "zarr.json"
    assert puts.count("zarr.json") == 1
    first, last = (next(i for i, r in some if r.method == "PUT") for some in (enumerate(written), [*enumerate(written)][::-1]))
    assert all(request.method == "PUT" for request in written[first:last])


@pytest.mark.parametrize("at", [40, *(pytest.param(at, marks=pytest.mark.slow) for at in (3, 9, 90, 130, -4))])
def test_a_run_that_is_killed_at_a_request_is_gone_on_with(store, source, expected, at):
    if at < 0:
        assert main([str(source), "--output-dir", f"{store.address}/count", *FLAGS]) == 0
        at += len(store.proxy.requests)
        store.proxy.requests.clear()
    program = Program(to(store, source), environ=store.environ)

    def kill(request):
        if request.number == at:
            os.kill(program.process.pid, signal.SIGKILL)
            return "cut"
        return None

    with program:
        store.proxy.fault = kill
        program.finish()
    store.proxy.fault = lambda request: None
    left = store.objects("out/a.ome.zarr/")
    assert "zarr.json" not in left or {key: left[key] for key in left if not key.startswith(".omezarr_proc")} == expected
    assert main(to(store, source)) == 0
    assert store.objects("out/a.ome.zarr/") == expected


def test_shards_in_a_store_are_those_in_a_folder_also_of_a_run_that_was_killed(store, source, tmp_path):
    shards = ("--sharding", "on", "--initial-downsample", "1")
    assert main([str(source), "--output-dir", str(tmp_path / "local"), *FLAGS, *shards]) == 0
    expected = digest(tmp_path / "local/a.ome.zarr")
    program = Program(to(store, source, *shards), environ=store.environ)
    puts = iter(range(2))

    def kill(request):
        if request.method == "PUT" and "/0/c/" in request.path and next(puts, None) is None:
            os.kill(program.process.pid, signal.SIGKILL)
            return "cut"
        return None

    with program:
        store.proxy.fault = kill
        program.finish()
    store.proxy.fault = lambda request: None
    assert "zarr.json" not in store.objects("out/a.ome.zarr/")
    assert main(to(store, source, *shards)) == 0
    assert store.objects("out/a.ome.zarr/") == expected
    assert main(["validate", "--deep", f"{store.address}/out/a.ome.zarr"]) == 0


@pytest.mark.parametrize("fault", ["half", *(pytest.param(fault, marks=pytest.mark.slow) for fault in (503, 500, "cut", "lost"))])
def test_every_fifth_request_may_fail(store, source, expected, fault):
    store.proxy.fault = lambda request: fault if request.number % 5 == 2 else None
    status, text = run(*to(store, source), **store.environ)
    assert (status, text) == (0, "")
    store.proxy.fault = lambda request: None
    assert store.objects("out/a.ome.zarr/") == expected


def test_who_lives_keeps_the_lock_and_who_is_silent_loses_it(store, monkeypatch):
    dataset = Address(store.address) / "a.ome.zarr"
    monkeypatch.setattr(store_lock, "is_dead", lambda holder: False)
    with StoreLock(dataset, heartbeat=0.05) as lock:
        said = rf"another run \(process {os.getpid()} on .*\) works on this dataset"
        with pytest.raises(LockedError, match=said), StoreLock(dataset, heartbeat=0.05):
            pass
        lock.check()
        lock._ending.set()  # its process is stopped
        lock._heart.join()
        with StoreLock(dataset, heartbeat=0.05, stale=0.3) as second:
            second.check()
            with pytest.raises(OutputError, match="another run took over this dataset"):
                lock.check()
    assert store.objects("a.ome.zarr/") == {}


def test_the_lock_of_a_process_that_is_gone_is_taken_over_at_once(store):
    dataset = Address(store.address) / "a.ome.zarr"
    gone = json.loads(myself()) | {"pid": (1 << 22) + 1}
    Bucket(dataset).put(".omezarr_proc/lock", json.dumps(gone).encode())
    began = time.monotonic()
    with StoreLock(dataset) as lock:
        lock.check()
    assert time.monotonic() - began < store_lock.HEARTBEAT


def test_of_many_that_want_the_lock_one_has_it(store):
    dataset, inside, most = Address(store.address) / "a.ome.zarr", [], []
    gate = threading.Barrier(6)

    def work():
        gate.wait()
        try:
            with StoreLock(dataset, heartbeat=0.2):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.05)
                inside.pop()
        except LockedError:
            pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most
    assert set(most) == {1}


def test_a_lost_lock_is_noticed_before_publishing(store, source, monkeypatch, capsys):
    publish = InStore.publish

    def stolen(tree):
        tree._bucket.put(".omezarr_proc/lock", myself())
        publish(tree)

    monkeypatch.setattr(InStore, "publish", stolen)
    assert main(to(store, source)) == Exit.TRY_AGAIN
    assert "another run took over this dataset" in capsys.readouterr().err
    assert "zarr.json" not in store.objects("out/a.ome.zarr/")


def test_who_has_lost_the_lock_notes_and_removes_nothing_more(store):
    dataset = Address(f"{store.address}/out/a.ome.zarr")
    with StoreLock(dataset, heartbeat=0.05) as lock:
        tree = InStore(dataset, "key", lock)
        tree.begin({})
        obstore.put(store.client, f"{store.prefix}/out/a.ome.zarr/.omezarr_proc/lock", myself())
        until = time.monotonic() + 60
        while not lock._lost and time.monotonic() < until:
            time.sleep(0.01)
        before = store.objects("out/")
        for noting in (lambda: tree.begin({}), lambda: tree.end("finished"), tree.give_up):
            with pytest.raises(LockedError, match="took over this dataset"):
                noting()
        tree.close()
    assert store.objects("out/") == before


def test_objects_of_others_are_not_replaced_and_those_beside_a_root_stay(store, source, expected, capsys):
    obstore.put(store.client, f"{store.prefix}/out/a.ome.zarr/notes.txt", b"mine")
    assert main(to(store, source)) == Exit.CANNOT_WRITE
    assert "holds objects that are no OME-Zarr dataset (notes.txt) and is not replaced" in capsys.readouterr().err
    assert main(to(store, source, "--existing", "force")) == 0
    assert store.objects("out/a.ome.zarr/") == expected
    obstore.put(store.client, f"{store.prefix}/root/notes.txt", b"mine")
    for level in ("1", "5"):
        flags = ("--output-dir", f"{store.address}/root", "--output-layout", "root", "--compression-level", level, "--asset-properties")
        assert main([str(source), *FLAGS, *flags]) == 0
    found = store.objects("root/")
    assert found.pop("notes.txt")
    assert found.pop("asset-properties.json") == hashlib.sha256(b'{"root_path": "."}\n').hexdigest()
    assert found == expected


def test_a_bucket_without_rights_is_told_in_a_line(store, source, monkeypatch, capsys):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    assert main(to(store, source)) == Exit.CANNOT_WRITE
    text = capsys.readouterr().err
    assert "check the credentials and their rights" in text
    assert text.count("\n") == 1
    assert "another-secret" not in text


def test_a_corrupt_input_leaves_nothing(store, source):
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    source.write_bytes(data)
    assert main(to(store, source)) == 1
    assert store.objects("out/") == {}


def test_what_an_earlier_run_has_stored_is_read_back_many_at_a_time(store, source):
    assert main(to(store, source)) == 0
    (image,) = open_images(str(source))
    pyramid = pyramid_of(image, Settings(tile_size=64))
    chunks = ChunkStore(Bucket(Address(f"{store.address}/out/a.ome.zarr")), pyramid, codec_for("uint16", "zstd", 1))
    grid = pyramid.levels[0].grid
    stored = b"".join(checksum(chunks.objects.get(key)) for key in chunks.keys(0, grid))
    store.proxy.latency, store.proxy.most = 0.02, 0
    assert changed(chunks, 0, grid, stored) == 0
    assert store.proxy.most >= 8
    store.proxy.requests.clear()
    assert changed(chunks, 0, grid, stored, read=False) == 0
    assert len(store.proxy.requests) == 2 * 5  # a row of each channel
    chunks.objects.delete("0/c/1/2/1")
    chunks.objects.put("0/c/0/1/1", b"of another one")
    assert changed(chunks, 0, grid, stored) == 2
    assert changed(chunks, 0, grid, stored, read=False) == 2
    store.proxy.fault = lambda request: 503
    with patience.patient_as(patience.Patience(times=1)), pytest.raises(StoreUnavailableError):  # nothing is said of what it holds
        changed(chunks, 0, grid, stored)


@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize("fault", ["half", "cut", 503])
def test_a_listing_that_breaks_off_is_gone_on_with(store, page, fault):
    keys = sorted(f"{number:04}" for number in range(1010))  # S3 lists 1000 a page
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda key: obstore.put(store.client, f"{store.prefix}/{key}", b""), keys))
    listings = []

    def broken(request):
        if "list-type" in request.path:
            listings.append(request)
            return fault if len(listings) == page else None
        return None

    store.proxy.fault = broken
    assert list(Bucket(Address(store.address)).keys()) == keys


def test_a_new_dataset_of_a_few_chunks_takes_few_requests_beside_them(store, source):
    assert main(to(store, source)) == 0
    others = [(request.method, request.path.partition("a.ome.zarr")[2]) for request in store.proxy.requests if "/c/" not in request.path]
    assert len(others) <= 31, others
    roots = [request for request in store.proxy.requests if request.path.endswith("a.ome.zarr/zarr.json") and request.method == "GET"]
    assert len(roots) == 3  # before it is locked and after, and read back


@pytest.mark.parametrize("number", [0, 1])
def test_half_of_the_beginning_of_a_record_is_ours(store, source, expected, number):
    """Both go at once when the dataset is published, and a store may be killed between them."""
    bucket = Bucket(Address(f"{store.address}/out/a.ome.zarr"))
    bucket.put(f".omezarr_proc/record/{number:08}", (MAGIC, header("of another one"))[number])
    bucket.put("0/c/9/9/9", b"left")
    assert main(["clean", "--dry-run", f"{store.address}/out"]) == 0
    assert InStore.is_ours(bucket.root)
    assert main(to(store, source)) == 0
    assert store.objects("out/a.ome.zarr/") == expected


def test_what_is_hidden_and_is_no_record_is_left(store, capsys):
    bucket = Bucket(Address(f"{store.address}/a.ome.zarr"))
    bucket.put(".omezarr_proc/record/mine", b"notes\n")
    assert main(["clean", store.address]) == 0
    assert "is left, since it is not known to be of omezarr_proc" in capsys.readouterr().out
    assert store.objects("a.ome.zarr/").keys() == {".omezarr_proc/record/mine"}
