"""Folders of thousands: what is opened and asked for follows what is looked at, never what is there."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ome import page as member
from ome import xml

from omezarr_proc.app import live
from omezarr_proc.app.inputs import named
from omezarr_proc.app.search import tiffs_in
from omezarr_proc.model.errors import ProcError
from omezarr_proc.viewer import catalogue, serving
from omezarr_proc.viewer.serving import ViewerServer

V3 = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [{}]}}}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened, as they are."""
    names: list[str] = []
    open_images = live.open_images

    def noted(path: str, **how: Any) -> Any:
        names.append(Path(path).name)
        return open_images(path, **how)

    monkeypatch.setattr(live, "open_images", noted)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 TIFFs in three folders, the last of them damaged."""
    for number in range(60):
        path = tmp_path / "scans" / f"day {number // 20}" / f"img_{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full((20, 30), number, np.uint8))
    path.write_bytes(b"II*\0junk")
    return tmp_path / "scans"


class Server(ViewerServer):
    """Notes the addresses that are asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(folder, files=live.LiveFiles(tiffs_in(folder)))

    def made(self, path: str) -> Any:
        self.asked.append(path)
        return super().made(path)

    def images(self, name: str) -> dict[str, Any]:
        self.asked.append(f"images.json?{name}")
        return super().images(name)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def answer(server: ViewerServer, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def test_a_file_is_opened_once_it_is_asked_for(server: Server, opened: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(answer(server, "/datasets.json")[1])["datasets"]
    assert len(listed) == 60
    assert opened == []
    (entry,) = [one for one in listed if one["name"] == "day 1/img_25.tif"]
    assert entry == {"name": "day 1/img_25.tif", "url": "data/day%201/img_25.tif", "file": True}
    said = json.loads(answer(server, f"/images.json?{entry['url']}")[1])
    assert ([one["url"] for one in said["datasets"]], said["others"]) == ([entry["url"]], [])
    for key in ("zarr.json", "0/zarr.json", "0/c/0/0/0"):
        assert answer(server, f"/{entry['url']}/{key}")[0] == 200
    assert opened == ["img_25.tif"]
    assert answer(server, "/data/day%202/img_45.tif/zarr.json")[0] == 200  # a link to it
    assert opened == ["img_25.tif", "img_45.tif"]
    for _ in range(2):
        error = json.loads(answer(server, "/images.json?data/day%202/img_59.tif")[1])["error"]
        assert "the file is cut off or corrupt" in error and "img_59" not in error  # the row has its name
    assert answer(server, "/data/day%202/img_59.tif/zarr.json")[0] == 500
    assert json.loads(answer(server, "/images.json?data/other.tif")[1]) == {"error": "there is no such file"}
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_more_files_are_kept_open_than_are_allowed(folder: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_OPEN", 3)
    files = live.LiveFiles(tiffs_in(folder))
    first = files.open("day 0/img_0.tif")
    for name in files.names()[1:4]:
        files.open(name)
    assert opened == [f"img_{n}.tif" for n in range(4)]
    files.open("day 0/img_3.tif")
    again = files.open("day 0/img_0.tif")
    assert opened == [f"img_{n}.tif" for n in (0, 1, 2, 3, 0)]
    assert again.images["day 0/img_0.tif"].get("0/c/0/0/0") == first.images["day 0/img_0.tif"].get("0/c/0/0/0")


def test_the_members_of_a_set_are_one_entry_once_one_is_opened(tmp_path: Path) -> None:
    names = [f"s_{number}.ome.tif" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(member(number, xml(number, names)))
    files = live.LiveFiles(named([str(tmp_path / name) for name in names]))
    assert files.names() == names
    opened = files.open(names[2])
    assert [*opened.images] == names[:1]
    assert opened.others == tuple(names[1:])
    assert files.names() == names[:1]
    assert files.open(names[3]).images.keys() == opened.images.keys()


def test_each_document_is_read_once_to_list_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        dataset = tmp_path / f"day {number // 20}" / f"{number}.ome.zarr"
        (dataset / "0" / "c").mkdir(parents=True)
        (dataset / "zarr.json").write_text(json.dumps(V3))
    (dataset / "labels").mkdir()
    (dataset / "labels" / "zarr.json").write_text(json.dumps({"attributes": {"ome": {"labels": ["cells"]}}}))
    reads: list[str] = []
    read = catalogue._read
    monkeypatch.setattr(catalogue, "_read", lambda place, name: reads.append(f"{place}/{name}") or read(place, name))
    found = catalogue.find_datasets(tmp_path, 1000)
    assert [one.path for one in found] == sorted(one.path for one in found)
    assert [one.labels for one in found if one.labels] == [("cells",)]
    assert len(found) == 40
    assert len(reads) == len(set(reads)) == 41
    monkeypatch.setattr(serving, "MOST_LISTED", 30)
    with ViewerServer(tmp_path) as server:
        listing = server.listing()
    assert (len(listing["datasets"]), listing["full"]) == (30, True)


def test_who_cannot_be_opened_is_an_error(folder: Path) -> None:
    with pytest.raises(ProcError, match=r"img_59\.tif"):
        live.LiveFiles(tiffs_in(folder)).open("day 2/img_59.tif")
