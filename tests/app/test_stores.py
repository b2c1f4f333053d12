# ruff: noqa: F811  # fixtures by their names
"""What looks at datasets, of datasets in an object store: told, judged and pictured as those in a folder are."""

import http.client
import json
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import obstore
import pytest
import tifffile
import zarr
from datasets import copied, made
from objectserver import impatient, object_server, store  # noqa: F401  # fixtures
from opened import open_all
from runs import stack
from tiffs import coordinates

from omezarr_proc.cli import main
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit
from omezarr_proc.publish.hidden import MAGIC
from omezarr_proc.publish.history import header
from omezarr_proc.viewer.serving import ViewerServer


def put(store, dataset: Path) -> str:
    """A dataset as objects; its address."""
    for path in dataset.rglob("*"):
        if path.is_file():
            obstore.put(store.client, f"{store.prefix}/{dataset.name}/{path.relative_to(dataset)}", path.read_bytes())
    return f"{store.address}/{dataset.name}"


@pytest.mark.parametrize(("name", "zarr_format", "flags"), [("rgb", 3, ()), ("stack", 2, ()), ("rgb", 3, ("--sharding", "on"))])
def test_a_dataset_is_told_and_judged_as_in_a_folder(store, capsys, name, zarr_format, flags):
    local = made(name, zarr_format, *flags)
    address = put(store, local)
    for words in (["info"], ["validate"], ["validate", "--deep"]):
        assert main([*words, str(local)]) == main([*words, address]) == 0
        here, there = capsys.readouterr().out.replace(str(local), address).split(f"{address}: ", 2)[1:]
        assert here == there
    assert main(["info", "--json", address]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["kind"] == "dataset"


def test_what_is_wrong_with_a_dataset_is_found(store, tmp_path, capsys):
    local = copied(tmp_path, "rgb")
    (local / "0/c/0/1/1").unlink()
    (local / "0/c/0/1/2").write_bytes(b"")
    (local / "0/c/0/2/2").write_bytes((local / "0/c/0/2/2").read_bytes()[:-5])
    (local / ".zattrs").write_bytes(b"{}")
    address = put(store, local)
    for words in (["validate"], ["validate", "--deep"]):
        assert main([*words, str(local)]) == main([*words, address]) == 1
        *lines, _ = capsys.readouterr().out.replace(str(local), address).replace("the file is empty", "").splitlines()
        here, there = lines[: len(lines) // 2 + 1], lines[len(lines) // 2 + 1 :]
        assert [line.split(" (")[0] for line in here[:-1]] == [line.split(" (")[0] for line in there]
    assert main(["validate", f"{store.address}/nothing.ome.zarr"]) == 1
    assert "has neither zarr.json nor .zgroup" in capsys.readouterr().out
    assert main(["validate", "s3://no-such-bucket/a.ome.zarr"]) == 1
    assert "there is no such bucket" in capsys.readouterr().out
    assert main(["info", "ftp://host/a.ome.zarr"]) == Exit.WRONG_SETTINGS


def test_codecs_that_zarr_decodes_are_judged_too(store, tmp_path, capsys):
    local = copied(tmp_path, "stack")
    before = zarr.open_array(local / "1", mode="r")
    options = {"chunks": before.chunks, "compressors": zarr.codecs.GzipCodec(), "dimension_names": before.metadata.dimension_names}
    zarr.create_array(local / "1", data=before[...], overwrite=True, **options)
    address = put(store, local)
    assert main(["validate", "--deep", address]) == 0, capsys.readouterr().out
    obstore.delete(store.client, f"{store.prefix}/a.ome.zarr/1/c/0/0/0/0")
    obstore.put(store.client, f"{store.prefix}/a.ome.zarr/1/c/0/1/0/0", b"no gzip")
    capsys.readouterr()
    assert main(["validate", "--deep", address]) == 1
    told = capsys.readouterr().out
    assert "1/c/0/0/0/0: 1 of" in told
    assert "1/c/0/1/0/0: cannot be decoded: BadGzipFile" in told


@pytest.mark.parametrize("words", [["info"], ["validate"], ["validate", "--deep"]])
def test_a_store_that_does_not_answer_is_no_damage(store, impatient, words, capsys):
    address = put(store, made("rgb"))
    store.proxy.fault = lambda request: 503 if "/1/c/" in request.path or words == ["info"] else None
    assert main([*words, address]) == Exit.TRY_AGAIN
    assert "cannot be read: the store answers with HTTP 503: run again later" in capsys.readouterr().err
    store.proxy.fault = lambda request: 403 if "/1/c/" in request.path else None  # without the right to list
    assert main([*words, address]) == (words != ["info"])
    assert words == ["info"] or "are missing, this first" in capsys.readouterr().out


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_the_picture_is_that_of_a_folder_and_kept_in_step(store, tmp_path, layout):
    source = made("stack").parent / "a.ome.tif"
    name = "a.ome.zarr.png" if layout == "folders" else "ome.zarr.png"
    flags = ("--tile-size", "64", "--min-dimension", "64", "--quiet", "--output-layout", layout)
    assert main([str(source), "--output-dir", str(tmp_path), *flags, "--preview"]) == 0
    expected = (tmp_path / name).read_bytes()
    to = [str(source), "--output-dir", f"{store.address}/out", *flags]

    def picture():
        return bytes(obstore.get(store.client, f"{store.prefix}/out/{name}").bytes())

    assert main([*to, "--preview"]) == 0
    assert picture() == expected
    dataset = f"{store.address}/out" + ("/a.ome.zarr" if layout == "folders" else "")
    assert main(["preview", dataset, str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes() == expected
    obstore.put(store.client, f"{store.prefix}/out/{name}", b"of an older one")
    assert main(to) == 0  # is there already, and not older
    assert picture() == b"of an older one"
    assert main([*to, "--compression-level", "1"]) == 0  # kept in step, asked for or not
    assert picture() == expected
    obstore.delete(store.client, f"{store.prefix}/out/{name}")
    assert main([*to, "--compression-level", "1"]) == 0
    assert not np.any([key.endswith(".png") for key in store.objects("out/")])


def asked(server, path, method="GET", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_a_prefix_is_viewed_as_a_folder_is_and_read_by_ranges(store):
    local = made("rgb")
    put(store, local)
    obstore.put(store.client, f"{store.prefix}/a.ome.zarr.png", b"picture")
    obstore.put(store.client, f"{store.prefix}/deep/er/b.ome.zarr/.zattrs", b'{"multiscales": []}')
    obstore.put(store.client, f"{store.prefix}/secret.json", b"{}")
    chunk = (local / "0/c/0/1/1").read_bytes()
    with ViewerServer(Address(store.address)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        found = json.loads(asked(server, "/datasets.json")[2])["datasets"]
        assert [(one["name"], one["zarr_format"], bool(one["preview"])) for one in found] == [
            *(("a.ome.zarr", 3, True), ("deep/er/b.ome.zarr", 2, False))
        ]
        root = "/data/a.ome.zarr"
        status, headers, body = asked(server, f"{root}/zarr.json")
        assert (status, headers["Content-Type"], body) == (200, "application/json", (local / "zarr.json").read_bytes())
        store.proxy.requests.clear()
        assert asked(server, f"{root}/0/c/0/1/1")[2] == chunk
        assert len(store.proxy.requests) <= 2
        for words, expected in (("bytes=5-9", chunk[5:10]), ("bytes=-7", chunk[-7:]), ("bytes=20-", chunk[20:])):
            status, headers, body = asked(server, f"{root}/0/c/0/1/1", Range=words)
            assert (status, body) == (206, expected)
            assert headers["Content-Range"].endswith(f"/{len(chunk)}")
        assert asked(server, f"{root}/0/c/0/1/1", "HEAD")[1]["Content-Length"] == str(len(chunk))
        assert asked(server, f"{root}/0/c/0/1/1", Range="bytes=99999999-")[0] == 416
        assert asked(server, "/data/a.ome.zarr.png")[2] == b"picture"
        for path in (f"{root}/0/c/9/9/9", "/data/secret.json", f"{root}/.omezarr_proc/lock"):
            assert asked(server, path)[0] == 404
        server.shutdown()


def test_a_tiff_is_viewed_where_it_lies(store, tmp_path):
    local = tmp_path / "a.tif"
    tifffile.imwrite(local, coordinates((600, 700)), tile=(256, 256), compression="deflate")
    obstore.put(store.client, f"{store.prefix}/a.tif", local.read_bytes())
    here, there = (open_all(name)["a.tif"] for name in (local, f"{store.address}/a.tif"))
    for key in ("0/zarr.json", "0/c/0/2/2", "1/c/0/0/1", "2/c/0/0/0"):
        assert there.get(key) == here.get(key)


def test_what_view_cannot_show_is_told(store, capsys):
    assert main(["view", "--no-browser", "https://127.0.0.1:9/x"]) == Exit.TRY_AGAIN
    assert "https://127.0.0.1:9/x: does not answer: check its address and the network" in capsys.readouterr().err
    assert main(["view", "--no-browser", "https://127.0.0.1:9/x.tif"]) == Exit.TRY_AGAIN
    assert main(["view", "--no-browser", "s3://no-such-bucket/x"]) == Exit.CANNOT_WRITE
    assert "there is no such bucket" in capsys.readouterr().err


def test_a_dataset_goes_to_another_version_and_back_to_a_tiff(store, tmp_path):
    local = made("stack", 3)
    address = put(store, local)
    assert main(["upgrade", "--ngff-version", "0.6", address]) == 0
    assert main(["validate", address]) == 0
    assert main(["upgrade", "--ngff-version", "0.5", address]) == 0
    keys = {path.relative_to(local).as_posix(): path.read_bytes() for path in local.rglob("*") if path.is_file()}
    listed = [entry["path"] for batch in obstore.list(store.client, f"{store.prefix}/{local.name}") for entry in batch]
    assert {key.split(f"{local.name}/")[1]: bytes(obstore.get(store.client, key).bytes()) for key in listed} == keys
    with tifffile.TiffFile(local.parent / "a.ome.tif") as source:
        shape = source.series[0].shape
    assert main(["restore", "--lossy", address, str(tmp_path / "b.ome.tif")]) == 0
    found = tifffile.imread(tmp_path / "b.ome.tif")
    assert np.array_equal(found, zarr.open_array(local / "0", mode="r")[...]) and found.shape[:2] == (shape[1], shape[0])


def test_what_is_done_and_what_is_not_is_told(store, tmp_path, capsys):
    def status(*words):
        return main(["status", *map(str, words)]), capsys.readouterr().out

    (tmp_path / "in").mkdir()
    stack(tmp_path / "in/a.ome.tif", 1, 64)
    stack(tmp_path / "in/c.ome.tif", 1, 64)
    assert status(store.address)[0] == 1
    assert main(["--quiet", "--output-dir", f"{store.address}/deep", str(tmp_path / "in/a.ome.tif")]) == 0
    assert status(store.address) == (0, "done: 1, not done: 0\n")
    hidden = f"{store.prefix}/deep/b.ome.zarr/.omezarr_proc"
    for number, data in enumerate((MAGIC, header("k"))):
        obstore.put(store.client, f"{hidden}/record/{number:08}", data)
    assert status(store.address)[1].startswith(f"{store.address}/deep/b.ome.zarr: a run has stopped; 0 B are stored\n")
    obstore.put(store.client, f"{hidden}/lock", b"{}")
    code, text = status(f"{store.address}/deep", "--input-dir", tmp_path / "in")
    assert (code, "b.ome.zarr: a run is at work" in text, text.count("nothing of it is there")) == (1, True, 1)
