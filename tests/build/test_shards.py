"""Datasets in shards: the same pixels as in chunks, read by zarr and tensorstore, and the same bytes however they are made."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import tifffile
import zarr
from conversion import convert, digest, levels, random_pixels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loaded import load_settings

from omezarr_proc.build.dataset import dataset_key
from omezarr_proc.config.reading import settings_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import SettingsError
from omezarr_proc.model.pyramid import make_pyramid
from omezarr_proc.model.region import Region
from omezarr_proc.model.shards import sharded
from omezarr_proc.plan.passes import Pass, bands, first_passes, next_pass, slot_levels
from omezarr_proc.store.arrays import write_metadata
from omezarr_proc.store.checksums import changed
from omezarr_proc.store.chunks import ChunkStore, read_chunks
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.folder import Folder
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import AtOnce, Ticket
from omezarr_proc.work.replies import Sealed
from omezarr_proc.work.tasks import Job, Spool


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "shape": draw(st.tuples(st.integers(1, 2), st.sampled_from((1, 3)), st.integers(1, 9), st.integers(1, 330), st.integers(1, 330))),
        "dtype": draw(st.sampled_from(["uint8", "int16", "float32"])),
        "rgb": draw(st.booleans()),
        "noise": draw(st.booleans()),
        "strips": draw(st.sampled_from([0, 7])),
        "downsample": draw(st.sampled_from([1, 2])),
        "z_downsample": draw(st.sampled_from(["isotropic", "none"])),
        "z_chunk": draw(st.sampled_from([1, 2, 3])),
        "bundled": draw(st.booleans()),
    }


def image_of(case: dict[str, Any], path: Path) -> Any:
    t, c, z, y, x = case["shape"]
    shape = (t, z, y, x, 3) if case["rgb"] else (t, z, c, y, x)
    pixels = random_pixels(shape, case["dtype"])
    if not case["noise"]:
        pixels[...] = np.arange(x).astype(case["dtype"])[:, None] if case["rgb"] else np.arange(x).astype(case["dtype"])
    options: dict[str, Any] = {"rowsperstrip": case["strips"], "compression": "lzw"} if case["strips"] else {"tile": (48, 48)}
    axes, photometric = ("TZYXS", "rgb") if case["rgb"] else ("TZCYX", "minisblack")
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes}, photometric=photometric, **options)
    (image,) = open_images(str(path))
    return image


def made(store: ChunkStore, image: Any, passes: list[Pass], spool: Path) -> None:
    """Make all levels, the bands of each pass backwards, each slot full of what was there before; hold shards against their checksums."""
    with open(spool, "wb+") as file:
        slot = bytearray(b"x" * max(slot_levels(pass_, store.pyramid)[1] for pass_ in passes))
        bench = Bench(Job(image, store, "mean", ("segment",)), lambda end: slot, AtOnce(), os.dup(file.fileno()), print)
        for pass_ in passes:
            for band in reversed(list(bands(pass_, store.pyramid))):
                if pass_.source is None:
                    bench.do(Spool(band), TICKET)
                for part in bench.make(pass_, band, 0, TICKET):
                    if isinstance(part, Sealed):
                        level = store.pyramid.levels[pass_.first + part.step]
                        chunks = part.objects.scaled(level.shard).clipped(level.grid.shape)
                        assert changed(store, level.index, chunks, part.checksums) == 0
        bench.close()


TICKET = Ticket(lambda error: None)


def pixels_of(store: ChunkStore, level: int, region: Region) -> np.ndarray:
    """A region of a level by our own reader, which goes through the index."""
    found = np.zeros(region.shape, store.pyramid.dtype)
    for t in range(region.start[0], region.stop[0]):
        for part, chunk in read_chunks(store, level, region.along(0, t, t + 1)):
            here = part.within(region)
            found[tuple(map(slice, here.start, here.stop))] = chunk
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(cases(), st.data())
def test_shards_hold_the_pixels_of_chunks(tmp_path_factory: pytest.TempPathFactory, case: dict[str, Any], data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("shards")
    image = image_of(case, folder / "a.ome.tif")
    wanted = {key: case[key] for key in ("downsample", "z_downsample", "z_chunk", "bundled")}
    chunked = make_pyramid(image, tile=16, max_levels=0, min_dimension=8, names=("t", "c", "z", "y", "x"), **wanted)
    stores = []
    for pyramid in (chunked, sharded(chunked, image), sharded(chunked, image)):
        out = folder / str(len(stores))
        out.mkdir()
        stores.append(ChunkStore(Folder(str(out)), pyramid, codec_for(pyramid.dtype, "lz4", 1)))
        passes: list[Pass] = [data.draw(st.sampled_from([first.pass_ for first in first_passes(image, pyramid, ("segment",))]))]
        while passes[-1].last < len(pyramid.levels) - 1:
            passes.append(next_pass(pyramid, passes[-1].last, data.draw(st.sampled_from([0, 1 << 17, 1 << 20]))))
        made(stores[-1], image, passes, folder / "spool")
        write_metadata(stores[-1])
    plain, first, _ = stores
    assert digest(folder / "1") == digest(folder / "2"), "other passes make other bytes"
    assert len(list(first.objects.keys())) == sum(level.objects.size + 1 for level in first.pyramid.levels)
    for level in chunked.levels:
        expected = pixels_of(plain, level.index, level.region)
        np.testing.assert_array_equal(pixels_of(first, level.index, level.region), expected)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/1/{level.index}/"}}
        np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), expected)
        np.testing.assert_array_equal(zarr.open_array(folder / "1" / str(level.index), mode="r")[...], expected)


SMALL = ("--tile-size", "64", "--min-dimension", "32", "--initial-downsample", "1")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_sharded_dataset_is_the_same_as_one_in_chunks(tmp_path: Path, dtype: str) -> None:
    pixels = random_pixels((2, 700, 900), dtype)
    pixels[:, :300] = 7
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata={"axes": "CYX"}, photometric="minisblack", tile=(64, 64))
    for sharding in ("on", "off"):
        assert convert(tmp_path / "a.ome.tif", tmp_path / sharding, *SMALL, "--sharding", sharding, "--preview", "1") == 0
    sharded_, plain = (tmp_path / name / "a.ome.zarr" for name in ("on", "off"))
    for one, other in zip(levels(sharded_), levels(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(list((sharded_ / "0/c").rglob("*/*/*"))) == 2 * 2 * 2
    windows = [zarr.open_group(path, mode="r").attrs["omero"] for path in (sharded_, plain)]
    assert windows[0] == windows[1]
    pictures = [(tmp_path / name / "a.ome.zarr.png").read_bytes() for name in ("on", "off")]
    assert pictures[0] == pictures[1]


def test_the_key_says_whether_there_are_shards(tmp_path: Path) -> None:
    """As it was before there was a choice where there are none."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((70 * 64, 70 * 64), "uint8"))
    (image,) = open_images(str(tmp_path / "a.tif"))
    small = {"tile_size": 64, "initial_downsample": 1}
    keys = {how: dataset_key(image, Settings(sharding=how, **small)) for how in ("auto", "on", "off")}
    assert keys["auto"] == keys["off"] != keys["on"]
    in_store = Settings(output_dir=Address("s3://bucket/prefix"), **small)
    assert dataset_key(image, in_store) == keys["on"]
    assert dataset_key(image, replace(in_store, zarr_format="2")) == dataset_key(image, Settings(zarr_format="2", **small))
    assert dataset_key(image, replace(in_store, tile_size=256)) == dataset_key(image, Settings(initial_downsample=1))


def test_zarr_v2_has_no_shards() -> None:
    with pytest.raises(SettingsError, match="Zarr v2 has no shards: SHARDING=on needs ZARR_FORMAT=3"):
        load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out", "SHARDING": "on", "ZARR_FORMAT": "2"}, {})
    with pytest.raises(SettingsError, match="Zarr v2 has no shards"):
        settings_of({"sharding": "on", "zarr_format": 2})
    assert load_settings({"INPUT_DIR": "in", "OUTPUT_DIR": "out", "ZARR_FORMAT": "2"}, {}).sharding == "auto"
