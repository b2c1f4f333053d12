"""Volumes from TIFF to dataset: every level against tensorstore's box means and numpy's, and the same bytes whatever the plan."""

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
import tifffile
import zarr
from conversion import convert, digest, levels, random_pixels
from engines import slots_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image as ImageModel
from volumes import reduced, write_volume

from omezarr_proc import cli
from omezarr_proc.build.picture import compose
from omezarr_proc.check.verdict import judge
from omezarr_proc.engine.local.engine import Local
from omezarr_proc.engine.local.nursery import Nursery
from omezarr_proc.model.pyramid import make_pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.plan.passes import Pass, bands, first_passes, next_pass, slot_levels
from omezarr_proc.store.chunks import ChunkStore, read_chunks
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.objects import InMemory
from omezarr_proc.store.read import open_dataset
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import AtOnce, Ticket
from omezarr_proc.work.tasks import Job, Spool

SMALL = ("--tile-size", "64", "--min-dimension", "32")
VOLUMES: dict[str, tuple[tuple[int, ...], str, float, dict[str, Any], tuple[str, ...]]] = {
    "isotropic": ((1, 2, 70, 150, 171), "uint16", 1.0, {}, ()),
    "one strip a plane": ((1, 1, 70, 150, 171), "uint16", 1.0, {"compression": "deflate", "rowsperstrip": 150}, ()),
    "strips": ((1, 2, 21, 150, 171), "int16", 3.0, {"compression": "lzw", "rowsperstrip": 7}, ("--initial-downsample", "1")),
    "tiles": ((1, 1, 33, 200, 171), "uint8", 1.0, {"compression": "deflate", "tile": (48, 48)}, ("--z-chunk", "5")),
    "time series": ((3, 1, 64, 90, 100), "float32", 2.0, {}, ()),
    "single planes": ((1, 2, 13, 150, 171), "uint32", 1.0, {"compression": "deflate", "rowsperstrip": 150}, ("--z-chunk", "1")),
    "nearest": ((1, 1, 27, 150, 171), "uint16", 1.0, {}, ("--downsample-method", "nearest", "--initial-downsample", "4")),
    "bundled": ((1, 3, 65, 90, 101), "uint8", 1.0, {"tile": (64, 64)}, ("--channel-chunking", "bundled", "--initial-downsample", "1")),
    "never": ((1, 1, 66, 90, 101), "uint16", 1.0, {}, ("--z-downsample", "none", "--z-chunk", "16")),
}


def written(name: str, folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    shape, dtype, z, options, flags = VOLUMES[name]
    return write_volume(folder / "a.ome.tif", shape, dtype, z, **options), (*SMALL, *flags)


def transformations(dataset: Path) -> list[tuple[list[float], list[float]]]:
    found = json.loads((dataset / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"]
    steps = [entry["coordinateTransformations"] for entry in found]
    return [(scale["scale"], shift["translation"]) for scale, shift in steps]


@pytest.mark.parametrize("name", VOLUMES)
def test_every_level_is_the_mean_of_boxes_and_says_where_it_lies(tmp_path: Path, name: str) -> None:
    pixels, flags = written(name, tmp_path)
    assert convert(tmp_path / "a.ome.tif", tmp_path, *flags) == 0
    dataset, method = tmp_path / "a.ome.zarr", "nearest" if name == "nearest" else "mean"
    pixel = np.array([VOLUMES[name][2], 1.0, 1.0])
    before, last = np.ones(3), pixels
    for array, (scale, shift) in zip(levels(dataset), transformations(dataset), strict=True):
        factor = scale[-3:] / pixel
        assert shift[-3:] == pytest.approx(pixel * (factor - 1) / 2)
        last = reduced(last, [int(n) for n in factor / before], method)
        np.testing.assert_array_equal(array.reshape(last.shape), last)
        before = factor
    assert cli.main(["validate", "--deep", str(dataset)]) == 0
    ImageModel.from_zarr(zarr.open_group(dataset, mode="r"))
    rdefs = json.loads((dataset / "zarr.json").read_text())["attributes"]["omero"]["rdefs"]
    assert rdefs["defaultZ"] == levels(dataset)[0].shape[-3] // 2


def test_a_volume_halves_z_by_its_own_sizes_and_keeps_its_chunks_deep(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.ome.tif", (1, 1, 70, 140, 150), z=2.0)
    assert convert(tmp_path / "a.ome.tif", tmp_path, *SMALL, "--initial-downsample", "1") == 0
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    assert [group[str(k)].shape for k in range(4)] == [(1, 70, 140, 150), (1, 70, 70, 75), (1, 35, 35, 38), (1, 18, 18, 19)]
    assert {group[str(k)].chunks for k in range(4)} == {(1, 16, 64, 64)}
    description = group.attrs["ome"]["multiscales"][0]["metadata"]["description"]
    assert description == "2x2, then 2x2x2 mean"


@pytest.mark.parametrize("name", ["isotropic", "one strip a plane", "strips", "tiles", "single planes"])
def test_the_same_bytes_whatever_the_plan(tmp_path: Path, name: str) -> None:
    _, flags = written(name, tmp_path)
    chosen = {flag[2:].replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    chosen = {name: int(value) if value.isdigit() else value for name, value in chosen.items()}
    found = []
    with closing(Local(Nursery(may_fork=False))) as engine:
        for number, (targets, most, workers) in enumerate((((1 << 24, 0), 1 << 25, 2), ((0,), 0, 1), ((1 << 19,), 0, 3))):
            planner = slots_of(*targets, most=most)  # 0: planes that are decoded whole go through the spool file
            limits = replace(engines.LIMITS, cpus=float(workers))
            engines.convert(tmp_path / "a.ome.tif", tmp_path / str(number), engine, planner, limits, **chosen)
            found.append(digest(tmp_path / str(number) / "a.ome.zarr"))
    assert found[0] == found[1] == found[2] and len(found[0]) > 10


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    compressed = draw(st.booleans())
    accesses = ("segment", "stream", "spool") if compressed else ("rows", "segment")
    return {
        "shape": draw(st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 23), st.integers(1, 50), st.integers(1, 50))),
        "dtype": draw(st.sampled_from(["uint8", "int16", "uint32", "float32"])),
        "compression": "deflate" if compressed else None,
        "rows": draw(st.sampled_from([3, 8, 1000])),
        "access": draw(st.sampled_from(accesses)),
        "downsample": draw(st.sampled_from([1, 2, 4])),
        "z_downsample": draw(st.sampled_from(["isotropic", "none"])),
        "z_chunk": draw(st.sampled_from([1, 2, 3, 4, 7])),
        "bundled": draw(st.booleans()),
        "method": draw(st.sampled_from(["mean", "mean", "nearest"])),
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cases(), st.data())
def test_bands_of_any_volume_make_its_levels(tmp_path: Path, case: dict[str, Any], data: st.DataObject) -> None:
    pixels = random_pixels(case["shape"], case["dtype"])
    if pixels.dtype.kind == "f":
        pixels[np.random.default_rng(1).random(pixels.shape) < 0.2] = np.nan
    path = tmp_path / "a.ome.tif"
    options = {"compression": case["compression"], "rowsperstrip": case["rows"], "photometric": "minisblack"}
    tifffile.imwrite(path, np.moveaxis(pixels, 1, 2), ome=True, metadata={"axes": "TZCYX"}, **options)
    (image,) = open_images(str(path))
    names = ("t", "c", "z", "y", "x")
    wanted = {key: case[key] for key in ("downsample", "z_downsample", "z_chunk", "bundled")}
    pyramid = make_pyramid(image, tile=16, max_levels=0, min_dimension=8, names=names, **wanted)
    store = ChunkStore(InMemory(), pyramid, codec_for(pyramid.dtype, "lz4", 1))
    access = (case["access"],)
    passes: list[Pass] = [data.draw(st.sampled_from([first.pass_ for first in first_passes(image, pyramid, access)]))]
    while passes[-1].last < len(pyramid.levels) - 1:
        passes.append(next_pass(pyramid, passes[-1].last, data.draw(st.sampled_from([0, 1 << 14, 1 << 20]))))
    made(store, Job(image, store, case["method"], access), passes, tmp_path / "spool")
    last, before = pixels, (1, 1, 1, 1, 1)
    for level in pyramid.levels:
        box = [b // a for a, b in zip(before, level.factor, strict=True)][Z:]
        last, before = reduced(last, box, case["method"]), level.factor
        stored = np.zeros(level.shape, pyramid.dtype)
        for t in range(level.shape[0]):
            for part, chunk in read_chunks(store, level.index, level.region.along(0, t, t + 1)):
                stored[tuple(map(slice, part.start, part.stop))] = chunk
        np.testing.assert_array_equal(stored, last)
    assert len(list(store.objects.keys())) == pyramid.chunk_count


def made(store: ChunkStore, job: Job, passes: list[Pass], spool: Path) -> None:
    """Make all levels, the bands of each pass backwards."""
    with open(spool, "wb+") as file:
        slot = bytearray(max(slot_levels(pass_, store.pyramid)[1] for pass_ in passes))
        bench = Bench(job, lambda end: slot, AtOnce(), os.dup(file.fileno()), print)
        ticket = Ticket(lambda error: None)
        for pass_ in passes:
            for band in reversed(list(bands(pass_, store.pyramid))):
                if pass_.source is None and job.access == ("spool",):
                    bench.do(Spool(band), ticket)
                bench.make(pass_, band, 0, ticket)
        bench.close()


def test_a_stored_level_is_taken_only_where_z_is_not_halved(tmp_path: Path) -> None:
    full, half = random_pixels((8, 128, 128), "uint8"), random_pixels((8, 64, 64), "uint8")
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(full, subifds=1, metadata={"axes": "ZYX", **sizes}, photometric="minisblack", tile=(64, 64))
        tiff.write(half, subfiletype=1, metadata=None, photometric="minisblack", tile=(64, 64))
    flags = ("--use-existing-resolutions", "1", "--tile-size", "64")
    assert convert(tmp_path / "a.ome.tif", tmp_path / "none", *flags, "--z-downsample", "none") == 0
    np.testing.assert_array_equal(levels(tmp_path / "none" / "a.ome.zarr")[0][0], half)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "auto", *flags) == 0
    np.testing.assert_array_equal(levels(tmp_path / "auto" / "a.ome.zarr")[0][0], reduced(full, (2, 2, 2)))
    notes = json.loads((tmp_path / "auto" / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["omezarr_proc"]["notes"]
    assert any("halves z" in note for note in notes)


def test_the_preview_shows_the_middle_plane(tmp_path: Path) -> None:
    pixels = np.zeros((40, 64, 64), "uint8")
    pixels[20:22, :32] = 200  # planes 20 and 21 are one of level 0: its middle one
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata={"axes": "ZYX", **sizes}, photometric="minisblack")
    assert convert(tmp_path / "a.ome.tif", tmp_path, "--z-chunk", "16", "--tile-size", "64") == 0
    picture = compose(open_dataset(tmp_path / "a.ome.zarr"))
    assert picture[:16].min() == 255 and picture[16:].max() == 0


def test_windows_are_percentiles_of_sampled_planes_whatever_the_depth_of_chunks(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.ome.tif", (1, 1, 35, 900, 1000), "uint8")
    found = []
    for number, depth in enumerate(("1", "16")):
        flags = ("--initial-downsample", "1", "--z-downsample", "none", "--z-chunk", depth)
        assert convert(tmp_path / "a.ome.tif", tmp_path / str(number), *flags) == 0
        dataset = tmp_path / str(number) / "a.ome.zarr"
        found.append([channel["window"] for channel in json.loads((dataset / "zarr.json").read_text())["attributes"]["omero"]["channels"]])
    for window, channel in zip(found[0], levels(dataset)[0], strict=True):
        start, end = np.percentile(
            channel[2::4], (0.1, 99.9), method="inverted_cdf"
        )  # of 32 megapixels 8: every 4th plane, from the middle of four
        assert window == {"min": channel.min(), "max": channel.max(), "start": start, "end": end}
    assert found[0] == found[1]


def test_a_voxel_that_is_no_mean_is_found_by_deep(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.ome.tif", (1, 1, 70, 150, 171))
    assert convert(tmp_path / "a.ome.tif", tmp_path, *SMALL) == 0
    dataset = tmp_path / "a.ome.zarr"
    level = zarr.open_array(dataset / "1", mode="r+")
    level[0, 17, 5, 36] += 1
    finding = judge(dataset, deep=True).findings[0]
    assert "every level is the exact 2x2x2 mean" in finding.rule and "z=17, y=5, x=36" in finding.problem


def test_a_chunk_that_blosc_cannot_take_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_volume(tmp_path / "a.ome.tif", (1, 1, 600, 8, 8), "uint8", 1.0)
    flags = ("--z-chunk", "1024", "--tile-size", "4096", "--z-downsample", "none")
    assert convert(tmp_path / "a.ome.tif", tmp_path, *flags) == 1
    assert "more than the 2.15 GB that Blosc takes; set a smaller TILE_SIZE or Z_CHUNK" in capsys.readouterr().err
