"""The port for objects, over every implementation; and a band made without a process, a pool or a disk."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.errors import OutputError
from omezarr_proc.plan.passes import bands, first_passes
from omezarr_proc.store.chunks import ChunkStore, read_chunks
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import InMemory, Objects
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import AtOnce, Ticket
from omezarr_proc.work.tasks import Job


@pytest.fixture(params=["folder", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    (tmp_path / "root").mkdir()
    return Folder(str(tmp_path / "root")) if request.param == "folder" else InMemory()


@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_put_is_got_until_it_is_deleted(objects: Objects, atomic: bool) -> None:
    objects.put("0/c/0/1", b"first", atomic=atomic)
    objects.put("0/c/0/1", b"2nd", atomic=atomic)
    objects.put("zarr.json", b"{}", atomic=atomic)
    assert (objects.get("0/c/0/1"), objects.size("0/c/0/1")) == (b"2nd", 3)
    assert sorted(objects.keys()) == ["0/c/0/1", "zarr.json"]
    assert list(objects.keys("0/c")) == ["0/c/0/1"] and list(objects.keys("1")) == []
    objects.delete("0/c/0/1")
    objects.delete("0/c/0/1")
    for ask in (objects.get, objects.size):
        with pytest.raises(FileNotFoundError):
            ask("0/c/0/1")


@pytest.mark.parametrize("atomic", [False, True])
def test_a_folder_that_has_vanished_does_not_come_back(tmp_path: Path, atomic: bool) -> None:
    for key in ("zarr.json", "0/zarr.json", "0/c/0/1/2"):
        with pytest.raises(OutputError, match="cannot write: No such file"):
            Folder(str(tmp_path / "gone")).put(key, b"", atomic=atomic)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("atomic", [False, True])
def test_no_link_is_followed(tmp_path: Path, atomic: bool) -> None:
    (tmp_path / "root").mkdir()
    (mine := tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "root/a").symlink_to(mine)
    (tmp_path / "root/a.partial").symlink_to(mine)
    folder = Folder(str(tmp_path / "root"))
    with pytest.raises(OutputError, match="cannot write"):
        folder.put("a", b"yours", atomic=atomic)
    with pytest.raises(OSError, match=r"[Ll]ink"):
        folder.get("a")
    assert mine.read_bytes() == b"mine"


def test_an_object_that_is_replaced_whole_is_never_seen_in_part(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.put("a", b"old", atomic=True)
    with open(tmp_path / "a", "rb") as reader:
        folder.put("a", b"the new one", atomic=True)
        assert reader.read() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_bands_are_made_into_memory_by_whoever_asks(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (3, 300, 411), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 80), photometric="minisblack", compression="zlib")
    (image,) = open_images(str(tmp_path / "a.tif"))
    settings = Settings(initial_downsample=1, tile_size=64, min_dimension=64)
    pyramid = pyramid_of(image, settings)
    store = ChunkStore(InMemory(), pyramid, codec_for("uint16", "zstd", 1))
    access = ("segment",)
    slot = bytearray(1 << 24)
    bench = Bench(Job(image, store, "mean", access), lambda end: slot, AtOnce(), None, print)
    (pass_, *_) = [first.pass_ for first in first_passes(image, pyramid, access)]
    assert pass_.last == len(pyramid.levels) - 1
    for band in reversed(list(bands(pass_, pyramid))):
        bench.make(pass_, band, 0, Ticket(lambda error: None))
    bench.close()
    assert len(list(store.objects.keys())) == pyramid.chunk_count
    for z, plane in enumerate(pixels):
        whole = pyramid.levels[0].region.along(2, z, z + 1)
        stored = np.zeros_like(plane)
        for part, chunk in read_chunks(store, 0, whole):
            stored[part.start[3] : part.stop[3], part.start[4] : part.stop[4]] = chunk[0, 0]
        np.testing.assert_array_equal(stored, plane)
