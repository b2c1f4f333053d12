"""TIFFs that are looked at without a conversion: the same pixels as its dataset has, what the file stores, and nothing else given out."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from opened import open_all
from plates import write_plate
from tiffs import coordinates

from omezarr_proc import cli
from omezarr_proc.app import view
from omezarr_proc.build.live.dataset import Live
from omezarr_proc.build.live.workshop import Workshop
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import InputError, SettingsError
from omezarr_proc.viewer.serving import ViewerServer

MB = 1 << 20


def keys(live: Live) -> Iterator[str]:
    """All keys of a live dataset, the coarsest level first."""
    yield "zarr.json"
    stated = json.loads(live.get("zarr.json"))["attributes"]["ome"]["multiscales"][0]["datasets"]
    for level in reversed([dataset["path"] for dataset in stated]):
        yield f"{level}/zarr.json"
        array = json.loads(live.get(f"{level}/zarr.json"))
        chunks = array["chunk_grid"]["configuration"]["chunk_shape"]
        for place in np.ndindex(*(-(-n // chunk) for n, chunk in zip(array["shape"], chunks, strict=True))):
            yield "/".join([level, "c", *map(str, place)])


def saved(live: Live, folder: Path) -> list[np.ndarray]:
    """The levels as zarr reads them."""
    for key in keys(live):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(live.get(key))
    return levels_of(folder)


def levels_of(folder: Path) -> list[np.ndarray]:
    group: Any = zarr.open_group(folder, mode="r")
    return [group[entry["path"]][:] for entry in group.attrs["ome"]["multiscales"][0]["datasets"]]


# So little memory that the levels of a small image take several passes.
LITTLE = Limits(memory_bytes=112 * MB, headroom_bytes=112 * MB, memory_source="test", cpus=4, cpu_source="test")


def test_pixels_and_description_are_those_of_a_conversion(tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    grey = coordinates((1900, 2100))
    tifffile.imwrite(inputs / "tiles.tif", grey, tile=(256, 256), compression="deflate")
    tifffile.imwrite(inputs / "strip.tif", grey[:600, :700], rowsperstrip=600, compression="lzw")
    tifffile.imwrite(inputs / "rgb.tif", coordinates((600, 700), "uint8", 3), photometric="rgb")
    stack = coordinates((2, 3, 2, 300, 400), "float32")
    tifffile.imwrite(inputs / "stack.ome.tif", stack, metadata={"axes": "TZCYX"})
    assert cli.main(["--input-dir", str(inputs), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--quiet"]) == 0
    forgetful = Workshop(fine_bytes=1, coarse_bytes=1)  # what was made is soon gone, and made again
    found = open_all(*sorted(inputs.iterdir()), limits=LITTLE, workshop=forgetful)
    assert [*found] == ["rgb.tif", "stack.ome.tif", "strip.tif", "tiles.tif"]
    assert len(found["tiles.tif"]._runs[0].plan.passes) > 1
    for name, live in found.items():
        dataset = tmp_path / f"{name.partition('.')[0]}.ome.zarr"
        for made, converted in zip(saved(live, tmp_path / name), levels_of(dataset), strict=True):
            np.testing.assert_array_equal(made, converted)
        ours, theirs = (json.loads((folder / "zarr.json").read_text())["attributes"]["ome"] for folder in (tmp_path / name, dataset))
        assert ours["multiscales"] == theirs["multiscales"]
        assert [one["label"] for one in ours["omero"]["channels"]] == [one["label"] for one in theirs["omero"]["channels"]]


def halved(pixels: np.ndarray) -> np.ndarray:
    whole = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2].astype(np.float64)
    return np.rint((whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]) / 4).astype(pixels.dtype)


@pytest.fixture
def pyramid(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A file with one stored level, 4 times smaller and rounded down, whose pixels are not those of full resolution."""
    full, stored = coordinates((2002, 2003)), coordinates((500, 500))[::-1]
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(full, tile=(256, 256), subifds=1, metadata={"axes": "YX"})
        file.write(stored, tile=(128, 128), subfiletype=1)
    return path, full, stored


def test_stored_levels_are_shown_and_the_others_made_of_them(pyramid: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    path, full, stored = pyramid
    levels = saved(open_all(path)["pyramid.ome.tif"], tmp_path / "out")
    np.testing.assert_array_equal(levels[0][0], full)
    np.testing.assert_array_equal(levels[1][0, :1001, :1001], halved(full))
    np.testing.assert_array_equal(levels[2][0], stored)
    np.testing.assert_array_equal(levels[3][0], halved(stored))
    attributes = json.loads((tmp_path / "out" / "zarr.json").read_text())["attributes"]
    scales = [entry["coordinateTransformations"][0]["scale"][1:] for entry in attributes["ome"]["multiscales"][0]["datasets"]]
    assert scales == [[1, 1], [2, 2], [4, 4], [8, 8]]
    assert "levels the file has: 2" in attributes["omezarr_proc"]["notes"]


def test_a_plate_has_the_groups_and_fields_of_its_conversion(tmp_path: Path) -> None:
    write_plate(tmp_path / "a.ome.tif", [(0, 1, 2), (2, 1, 1)], attributes='Rows="3" Columns="4"')
    assert cli.main([str(tmp_path / "a.ome.tif"), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--quiet"]) == 0
    plate = open_all(tmp_path / "a.ome.tif")["a.ome.tif"]
    for group in ("", "A/", "A/2/", "C/2/"):
        made, converted = (
            json.loads(plate.get(f"{group}zarr.json")),
            json.loads((tmp_path / "a.ome.zarr" / group / "zarr.json").read_text()),
        )
        assert made["attributes"].get("ome") == converted["attributes"].get("ome")
    for field in ("A/2/0", "A/2/1", "C/2/0"):
        for key in ("zarr.json", "0/zarr.json", *(f"0/c/{c}/0/0" for c in (0, 1))):
            (tmp_path / "made" / field / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "made" / field / key).write_bytes(plate.get(f"{field}/{key}"))
        for ours, theirs in zip(levels_of(tmp_path / "made" / field), levels_of(tmp_path / "a.ome.zarr" / field), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with serving(None, {"a.ome.tif": plate}) as server:
        assert [one["plate"] for one in json.loads(answer(server, "/datasets.json")[1])["datasets"]] == [True]
        assert answer(server, "/data/a.ome.tif/A/2/zarr.json")[0] == 200
        for absent in ("B/zarr.json", "A/2/2/zarr.json", "A/2/0", "A/2/0/zarr.json/", "A/2/0/0/c/2/0/0"):
            assert answer(server, f"/data/a.ome.tif/{absent}")[0] == 404


def test_many_ask_at_once_and_each_gets_its_chunk(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", coordinates((1900, 2100)), tile=(256, 256))
    alone, together = (open_all(tmp_path / "a.tif", limits=LITTLE)["a.tif"] for _ in range(2))
    wanted = [*keys(alone)]
    expected = {key: alone.get(key) for key in wanted}
    got: dict[int, dict[str, bytes]] = {}

    def ask(thread: int) -> None:
        got[thread] = {key: together.get(key) for key in (wanted if thread % 2 else wanted[::-1])}

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[n] == expected for n in range(6)] == [True] * 6


@contextmanager
def serving(folder: Path | None, live: dict[str, Live]) -> Iterator[ViewerServer]:
    with ViewerServer(folder, live=live) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answer(server: ViewerServer, path: str, **headers: str) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_only_what_was_named_is_given_out_and_damage_is_said_in_words(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a b.tif", coordinates((300, 300)), tile=(256, 256), compression="deflate")
    tifffile.imwrite(tmp_path / "other.tif", coordinates((300, 300)))
    live = open_all(tmp_path / "a b.tif")
    with serving(None, live) as server:
        (listed,) = json.loads(answer(server, "/datasets.json")[1])["datasets"]
        assert (listed["name"], listed["url"]) == ("a b.tif", "data/a%20b.tif")
        status, chunk = answer(server, "/data/a%20b.tif/0/c/0/1/0")
        assert (status, chunk) == (200, live["a b.tif"].get("0/c/0/1/0"))
        assert answer(server, "/data/a%20b.tif/0/c/0/1/0", Range="bytes=2-5") == (206, chunk[2:6])
        for absent in ("a%20b.tif", "other.tif", "a%20b.tif/", "a%20b.tif/../other.tif", "a%20b.tif/0/c/0/2/0", "a%20b.tif/0/c/0/-1/0"):
            assert answer(server, f"/data/{absent}")[0] == 404
        for absent in ("9/c/0/0/0", "0/c/0/0", "0/c/0/0/00", "9/zarr.json", "0/.zarray", "OME/METADATA.ome.xml"):
            assert answer(server, f"/data/a%20b.tif/{absent}")[0] == 404
    damaged = bytearray((tmp_path / "a b.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a b.tif") as file:
        first = file.pages[0].dataoffsets[0]
    damaged[first : first + 64] = bytes(64)
    (tmp_path / "damaged.tif").write_bytes(damaged)
    with serving(None, open_all(tmp_path / "damaged.tif")) as server:
        status, said = answer(server, "/data/damaged.tif/0/c/0/0/0")
        assert status == 500
        assert said.count(b"\n") == 0
        assert b"damaged.tif" in said and b"segment 0" in said


def test_what_cannot_be_opened_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.tif").write_bytes(b"II*\0junk")
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as file:
        file.write(coordinates((30, 40)), metadata={"axes": "YX"})
        file.write(coordinates((50, 40)), metadata={"axes": "YX"})
    found = open_all(*(tmp_path / name for name in ("bad.tif", "two.ome.tif", "absent.tif")))
    assert [*found] == ["two.ome.tif/series0", "two.ome.tif/series1"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "bad.tif" in lines[0] and "absent.tif" in lines[1]
    with pytest.raises(InputError, match="nothing to view"):
        view.main([str(tmp_path / "bad.tif"), "--no-browser"])
    with pytest.raises(SettingsError, match="one folder"):
        view.main([str(tmp_path), str(tmp_path), "--no-browser"])


def test_a_folder_of_tiffs_and_datasets_shows_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (folder / "a.tif", tmp_path / "outside.tif"):
        tifffile.imwrite(path, coordinates((300, 300)))
    (folder / "link.tif").symlink_to(tmp_path / "outside.tif")
    assert cli.main([str(folder / "a.tif"), "--output-dir", str(folder), "--quiet"]) == 0
    listed: list[str] = []

    def serve(server: ViewerServer) -> None:
        listed.extend(dataset["url"] for dataset in server.listing()["datasets"])
        raise KeyboardInterrupt

    monkeypatch.setattr(ViewerServer, "serve_forever", serve)
    assert view.main([str(folder), "--no-browser"]) == 0
    assert listed == ["data/a.ome.zarr", "data/a.tif"]
