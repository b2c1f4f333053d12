# ruff: noqa: F811  # fixtures by their names
"""Inputs in an object store: read as a file is, by few requests, and never mixed of two versions."""

import functools
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import convert, digest
from objectserver import SECRET, impatient, object_server, store  # noqa: F401  # fixtures
from reading import accesses, whole
from runs import ROOT, Program
from tiffs import coordinates

import omezarr_proc
from omezarr_proc.app.search import find
from omezarr_proc.cli import main
from omezarr_proc.engine.local import nursery
from omezarr_proc.host import remote
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import InputError, ProcError, SettingsError, StoreUnavailableError
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.bytes import open_bytes
from omezarr_proc.tiff.file.coming import Coming
from omezarr_proc.tiff.file.ifd import Ifds
from omezarr_proc.tiff.read.reader import Reader


def test_an_object_is_bytes_like_any_input(store, tmp_path):
    data = np.random.default_rng(1).bytes((3 << 20) + 11)
    (tmp_path / "x #ü?.tif").write_bytes(data)
    opened = open_bytes(store(tmp_path / "x #ü?.tif"))
    ranges = [(4097, 5), (0, 16), (7, 0), (len(data) - 3, 10), (len(data), 4), (len(data) + 9, 4), (0, len(data) + 1), (9, 2 << 20)]
    assert opened.size == len(data)
    assert opened.read(ranges) == [data[offset : offset + count] for offset, count in ranges]
    opened.ahead([(2 << 20, 70_000), (5, 100_000)])
    assert opened.read([(5, 100_000), (2 << 20, 70_000)]) == [data[5:100_005], data[2 << 20 : (2 << 20) + 70_000]]
    view = opened.mapped(11, 3 << 20)
    opened.close()
    assert view == data[11 : 11 + (3 << 20)]
    assert open_bytes(opened.path).identity == opened.identity


def test_an_empty_object_is_told_as_an_empty_file(store, tmp_path):
    (tmp_path / "x.tif").touch()
    with pytest.raises(InputError, match="the file is empty"):
        open_images(store(tmp_path / "x.tif"))


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {"axes": "ZYX"}, "ome": True},
        {"compression": "zlib", "tile": (128, 128)},
        {"compression": "lzw", "predictor": 2, "rowsperstrip": 7},
        {"compression": "packbits", "bigtiff": True, "byteorder": ">"},
    ],
)
def test_an_image_is_read_from_a_store_as_from_a_folder(store, tmp_path, options):
    pixels = coordinates((3, 700, 900))
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="minisblack", **options)
    (image,) = open_images(store(tmp_path / "x.tif"))
    reader = Reader(image)
    for access in accesses(image.layouts[0]):
        np.testing.assert_array_equal([whole(reader, plane, access)[..., 0] for plane in image.planes], pixels)
    reader.close()


def test_a_bucket_is_converted_as_a_folder_is_and_nobody_asked_before_the_nursery_was_there(store, tmp_path, monkeypatch):
    for folder, name in (("", "a.ome.tif"), ("sub", "b.tif"), ("skip.zarr", "c.tif"), (".hidden", "d.tif")):
        (tmp_path / "in" / folder).mkdir(exist_ok=True, parents=True)
        pixels = np.random.default_rng(3).integers(0, 999, (2, 600, 700), np.uint16)
        tifffile.imwrite(tmp_path / "in" / folder / name, pixels, tile=(64, 64), compression="zlib", ome=name == "a.ome.tif")
        store(tmp_path / "in" / folder / name, f"in/{folder}/{name}".replace("//", "/"))
    asked = []
    started = nursery.Nursery.__init__

    def start(self, **options):
        asked.append(len(store.proxy.requests))
        started(self, **options)

    monkeypatch.setattr(nursery.Nursery, "__init__", start)
    words = [tmp_path / "in", tmp_path / "in/a.ome.tif", "-o", tmp_path / "x", "--quiet"]
    assert main(list(map(str, words))) != 0  # a folder beside a file is no file
    assert main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "local"), "--quiet"]) == 0
    asked.clear()
    assert main(["--input-dir", f"{store.address}/in/", "--output-dir", str(tmp_path / "remote"), "--quiet"]) == 0
    assert asked == [0]
    assert store.proxy.requests
    local, there = digest(tmp_path / "local"), digest(tmp_path / "remote")
    assert local.keys() == there.keys()
    assert {name for name in local if local[name] != there[name]} == {"a.ome.zarr/zarr.json", "sub/b.ome.zarr/zarr.json"}  # the key
    store.proxy.requests.clear()
    assert main(["--input-dir", f"{store.address}/in", "--output-dir", str(tmp_path / "remote"), "--quiet"]) == 0
    assert len(store.proxy.requests) < 12  # found again, not made again


@pytest.mark.parametrize(
    "options", [{"photometric": "minisblack"}, {"photometric": "minisblack", "tile": (128, 128)}], ids=["planes", "tiles"]
)
def test_what_workers_will_load_is_asked_for_before_once_and_much_at_a_time(store, tmp_path, options):
    path = tmp_path / "x.tif"
    shape = (24, 768, 768) if "tile" not in options else (6144, 4096)
    tifffile.imwrite(path, np.random.default_rng(3).integers(0, 999, shape, np.uint16), **options)
    address = store(path)
    store.proxy.requests.clear()
    store.proxy.latency = 0.05
    assert convert(address, tmp_path / "out", "--max-workers", "2") == 0
    asked = [tuple(map(int, request.range.removeprefix("bytes=").split("-"))) for request in store.proxy.requests if request.range]
    assert sum(stop + 1 - start for start, stop in asked) < 1.25 * path.stat().st_size + (1 << 20)  # headers are asked for by each process
    assert store.proxy.most >= 6


def test_who_has_fetched_for_a_python_call_is_gone_after_it(store, tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((300, 300), np.uint8))
    address = store(tmp_path / "x.tif")
    for out in ("a", "b"):  # the second call gets threads of its own
        assert [image.status for image in omezarr_proc.convert(address, tmp_path / out, max_workers=1)] == ["converted"]
        fetching = [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
        for thread in fetching:
            thread.join(20)
        assert not any(thread.is_alive() for thread in fetching)


def test_inputs_that_are_skipped_or_come_early_keep_none_from_being_opened_ahead(store, tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((8, 8), np.uint8))
    paths = [store(tmp_path / "x.tif", f"{number:02}.tif") for number in range(60)]
    coming = Coming(paths)
    for number, path in enumerate(paths):
        if number % 3 == 0:  # a set with a member that is further on, and one that is skipped when it is its turn
            assert [coming.open(one).path for one in (path, *paths[number + 2 : number + 3])]
        elif number % 3 == 1:
            assert coming.open(path).path == path
        coming.passed(path)
        assert len(coming._opened) >= min(15, 58 - number)
    opened = [request.path for request in store.proxy.requests if request.range.startswith("bytes=0-")]
    assert len(opened) == len(set(opened)) == 60


def test_many_small_objects_are_opened_many_at_once_with_a_few_requests_each(store, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(24):
        path = tmp_path / "in" / f"{number}.ome.tif"
        tifffile.imwrite(path, np.random.default_rng(number).integers(0, 999, (2, 300, 300), np.uint16), ome=True)
        store(path, f"in/{path.name}")
    assert main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "local"), "--quiet"]) == 0
    store.proxy.requests.clear()
    store.proxy.latency = 0.05
    assert main(["--input-dir", f"{store.address}/in", "--output-dir", str(tmp_path / "remote"), "--quiet"]) == 0
    local, there = digest(tmp_path / "local"), digest(tmp_path / "remote")
    assert {name for name in there if there[name] != local[name]} == {f"{number}.ome.zarr/zarr.json" for number in range(24)}  # their keys
    # its beginning and its end for the main process, all of it for a look for labels and for each worker, and its head when it is done
    assert len(store.proxy.requests) <= 1 + 6 * 24
    assert store.proxy.most >= 8


@pytest.mark.parametrize("kind", ["side by side", "apart", "apart, of different lengths"])
def test_headers_of_many_pages_take_few_rounds(store, tmp_path, kind):
    rng = np.random.default_rng(2)
    path, pages = tmp_path / "x.tif", 1000 if kind == "side by side" else 150
    if kind == "side by side":
        tifffile.imwrite(path, np.zeros((pages, 16, 16), np.uint8), ome=True, metadata={"axes": "ZYX"})
    else:
        with tifffile.TiffWriter(path) as writer:
            for _ in range(pages):
                page = rng.integers(0, 255, (400, 300 if kind == "apart" else int(rng.integers(300, 310))), np.uint8)
                writer.write(page, contiguous=False, metadata=None)
    address = store(path)
    store.proxy.requests.clear()
    assert len(Ifds(open_bytes(address)).chain()) == pages
    assert len(store.proxy.requests) < (20 if kind == "side by side" else 1.5 * pages)
    assert kind == "side by side" or store.proxy.most >= 8  # and not one after the other


def test_what_changes_while_it_is_read_is_an_error(store, tmp_path):
    pixels = coordinates((512, 2048))
    tifffile.imwrite(tmp_path / "x.tif", pixels, metadata=None, rowsperstrip=16)
    address = store(tmp_path / "x.tif")
    (image,) = open_images(address)
    reader = Reader(image)
    tifffile.imwrite(tmp_path / "x.tif", pixels[::-1], metadata=None, rowsperstrip=16)
    store(tmp_path / "x.tif")
    with pytest.raises(InputError, match="it has changed since it was opened"):
        whole(reader, image.planes[0])


@pytest.mark.parametrize("fault", [503, 500, "cut", "half"])
def test_every_third_answer_may_fail(store, tmp_path, fault):
    pixels = coordinates((300, 2048))
    tifffile.imwrite(tmp_path / "x.tif", pixels, metadata=None, rowsperstrip=16)
    address = store(tmp_path / "x.tif")
    store.proxy.fault = lambda request: fault if request.number % 3 == 0 else None
    (image,) = open_images(address)
    np.testing.assert_array_equal(whole(Reader(image), image.planes[0])[..., 0], pixels)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "nothing.tif"}, "there is no such object"),
        ({"bucket": "s3://nothing"}, "there is no such bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "another"}, r"the store denies it \(SignatureDoesNotMatch\): check the credentials"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, r"the store denies it \(InvalidAccessKeyId\): check the credentials"),
    ],
)
def test_errors_say_what_to_do_on_one_line_without_credentials(store, tmp_path, monkeypatch, change, text):
    tifffile.imwrite(tmp_path / "x.tif", coordinates((16, 16)))
    address = Address(store(tmp_path / "x.tif"))
    for name, value in change.items():
        if name.startswith("AWS"):
            monkeypatch.setenv(name, value)
    address = Address(change["bucket"]) / address.key if "bucket" in change else address.parent / change.get("name", address.name)
    with pytest.raises(ProcError, match=text) as caught:
        open_images(str(address))
    assert str(address) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (SECRET, "another", "nobody", "Signature=", "http://"))


def test_a_store_that_does_not_answer_is_told(store, impatient, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ProcError, match="the store does not answer: check the network and the endpoint"):
        open_images(f"{store.address}/x.tif")
    with pytest.raises(StoreUnavailableError, match=f"{store.address}: cannot be listed: the store does not answer"):
        find(Address(store.address), tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_while_a_request_waits(store, tmp_path, number):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((64, 64), np.uint8))
    address = store(tmp_path / "x.tif")
    store.proxy.requests.clear()
    store.proxy.latency = 100
    with Program([address, "--output-dir", tmp_path / "out"], environ=store.environ) as program:
        while not store.proxy.requests:
            time.sleep(0.01)
        program.process.send_signal(number)
        assert program.process.wait(60) == 128 + number


@pytest.mark.parametrize(
    ("address", "environ", "text"),
    [
        ("az://c/x.tif", {}, "the storage account is not named: set AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://c/x.tif", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "s3cr3t!"}, "Invalid Access Key"),
        ("gs://b/x.tif", {"GOOGLE_APPLICATION_CREDENTIALS": "/nothing.json"}, "Unable to open service account file from /nothing.json"),
        ("gs://b/x.tif", {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}"}, "Unable to decode service account file"),
        ("s3://b/x.tif", {"AWS_ACCESS_KEY_ID": "a"}, "Missing SecretAccessKey"),
    ],
)
def test_variables_that_are_wrong_or_missing_are_told_before_anybody_is_asked(monkeypatch, address, environ, text):
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    remote.client_of.cache_clear()
    with pytest.raises(SettingsError, match=text) as caught:
        remote.client(Address(address).root)
    assert "s3cr3t" not in str(caught.value)


def test_without_the_extra_a_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    remote.client_of.cache_clear()
    with pytest.raises(ProcError, match=r"obstore, which is not installed: pip install 'omezarr-proc\[remote\]'"):
        open_images("s3://bucket/x.tif")


@pytest.mark.parametrize("words", [["info", "s3://b/x"], ["validate", "s3://b/x"], ["clean", "s3://b/x"], ["view", "s3://b/x"],
                                   ["--input-dir", "s3://b/x"], ["a.tif", "-o", "s3://b/x"], ["s3://b/x.tif", "out/"]])  # fmt: skip
def test_without_the_extra_nothing_is_begun(tmp_path, words):
    """In a process that has no obstore."""
    code = "import sys; sys.modules['obstore'] = None; from omezarr_proc.cli import main; sys.exit(main(sys.argv[1:]))"
    environ = {"PATH": os.environ["PATH"], "OUTPUT_DIR": str(tmp_path / "out")} if "--input-dir" in words else {"PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, env=environ)
    assert done.returncode == 2
    assert done.stderr.endswith("object stores need the package obstore, which is not installed: pip install 'omezarr-proc[remote]'\n")
    assert done.stderr.count("\n") == 1


def test_a_file_is_read_from_a_web_server(tmp_path):
    class Ranges(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            data = Path(self.translate_path(self.path)).read_bytes()
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last or len(data)) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Last-Modified", "Tue, 15 Nov 1994 12:45:26 GMT")
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *message):
            pass

    pixels = coordinates((100, 200))
    tifffile.imwrite(tmp_path / "x.tif", pixels, metadata=None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (image,) = open_images(f"http://127.0.0.1:{server.server_port}/x.tif")
        np.testing.assert_array_equal(whole(Reader(image), image.planes[0])[..., 0], pixels)
        server.shutdown()
