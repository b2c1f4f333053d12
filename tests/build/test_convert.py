"""The whole way from TIFF to dataset, held against tifffile's pixels and tensorstore's box means."""

import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import engines
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from conversion import convert, digest, levels, random_pixels
from engines import slots_of
from ome_zarr_models.v05.image import Image as ImageModel

from omezarr_proc import cli
from omezarr_proc.app import batch as process
from omezarr_proc.build.attempts import Attempts
from omezarr_proc.engine.local import nursery
from omezarr_proc.engine.local.engine import Local
from omezarr_proc.engine.serial import Serial
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.plan.plan import Plan, make_plan
from omezarr_proc.publish.record import Record


def box_means(array: np.ndarray, d: int) -> np.ndarray:
    return np.asarray(ts.downsample(ts.array(array), [1] * (array.ndim - 2) + [d, d], "mean").read().result())


TIFFS = {
    "rgb tiles": ((1003, 1207, 3), "uint8", "YXS", {"photometric": "rgb", "tile": (128, 128), "compression": "deflate"}),
    "rgb planar": ((3, 701, 509), "uint8", "CYX", {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 64)}),
    "4 channels": ((4, 517, 1031), "uint16", "CYX", {"photometric": "minisblack", "tile": (240, 240), "compression": "lzw"}),
    "strips": (
        (3, 643, 811),
        "int16",
        "CYX",
        {"photometric": "minisblack", "rowsperstrip": 7, "compression": "deflate", "predictor": True},
    ),
    "one row a strip": ((643, 811), "uint8", "YX", {"photometric": "minisblack", "rowsperstrip": 1}),
    "z-stack": ((5, 2, 333, 401), "uint16", "ZCYX", {"photometric": "minisblack"}),
    "t, z and c": ((2, 3, 2, 100, 130), "int8", "TZCYX", {"photometric": "minisblack"}),
    "big endian": ((401, 300), "uint32", "YX", {"photometric": "minisblack", "byteorder": ">", "tile": (128, 64)}),
    "one pixel": ((1, 1), "uint8", "YX", {"photometric": "minisblack"}),
}


@pytest.mark.parametrize("d", [1, 2, 8])
@pytest.mark.parametrize("name", TIFFS)
def test_every_level_is_the_box_mean_of_the_one_before(tmp_path: Path, name: str, d: int) -> None:
    shape, dtype, axes, options = TIFFS[name]
    pixels = random_pixels(shape, dtype)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata={"axes": axes}, **options)
    assert convert(tmp_path / "a.ome.tif", tmp_path, "--initial-downsample", str(d), "--tile-size", "64", "--min-dimension", "64") == 0

    found = levels(tmp_path / "a.ome.zarr")
    order = [axes.replace("S", "C").index(axis) for axis in "TCZYX" if axis in axes.replace("S", "C")]
    expected = pixels.transpose(order)
    if "C" not in axes and "S" not in axes:
        expected = expected[np.newaxis]
    expected = box_means(np.ascontiguousarray(expected), d) if d > 1 else expected
    for level, array in enumerate(found):
        np.testing.assert_array_equal(array, expected, err_msg=f"level {level}")
        expected = box_means(array, 2)
    assert max(found[-1].shape[-2:]) <= 64
    ImageModel.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats_accumulate_in_float64_and_are_stored_as_float32(tmp_path: Path, dtype: str) -> None:
    pixels = random_pixels((130, 150), "float64").astype(dtype)
    pixels[:8, :9], pixels[40, 40] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(48, 48))
    assert convert(tmp_path / "a.tif", tmp_path, "--tile-size", "64", "--min-dimension", "64") == 0
    base, top = levels(tmp_path / "a.ome.zarr")
    boxes = pixels.astype("float64").reshape(65, 2, 75, 2).transpose(0, 2, 1, 3).reshape(65, 75, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanmean of nothing but NaN
        expected = np.nanmean(boxes, axis=2).astype("float32")
    assert base.dtype == top.dtype == np.float32
    np.testing.assert_array_equal(base[0], expected)


@pytest.mark.parametrize("name", ["rgb tiles", "4 channels", "strips", "z-stack"])
def test_the_same_bytes_whatever_the_plan(tmp_path: Path, name: str) -> None:
    shape, dtype, axes, options = TIFFS[name]
    tifffile.imwrite(tmp_path / "a.ome.tif", random_pixels(shape, dtype), ome=True, metadata={"axes": axes}, **options)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "1", "--tile-size", "64", "--min-dimension", "32") == 0
    with closing(Local(nursery.Nursery(may_fork=False))) as engine:
        one, three = (replace(engines.LIMITS, cpus=workers) for workers in (1.0, 3.0))
        engines.convert(tmp_path / "a.ome.tif", tmp_path / "2", engine, slots_of(0), one)  # the lowest bands, the most passes
        engines.convert(tmp_path / "a.ome.tif", tmp_path / "3", engine, slots_of(1 << 19), three)
    expected = digest(tmp_path / "1" / "a.ome.zarr")
    assert expected["zarr.json"] and len(expected) > 10
    assert digest(tmp_path / "2" / "a.ome.zarr") == expected
    assert digest(tmp_path / "3" / "a.ome.zarr") == expected


@pytest.mark.parametrize(("tile", "d"), [((80, 80), 32), ((48, 48), 32), ((144, 64), 64)])
def test_tiles_that_hold_some_boxes_whole_and_others_in_part(tmp_path: Path, tile: tuple[int, int], d: int) -> None:
    """Squares: the last of a row begins on a box, the others straddle boxes. High ones straddle boxes above and below."""
    pixels = random_pixels((500, 200), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=tile, compression="deflate")
    assert convert(tmp_path / "a.tif", tmp_path, "--initial-downsample", str(d), "--tile-size", "64", "--min-dimension", "64") == 0
    np.testing.assert_array_equal(levels(tmp_path / "a.ome.zarr")[0][0], box_means(pixels, d))


def test_labels_by_nearest_keep_their_values(tmp_path: Path) -> None:
    labels = random_pixels((257, 301), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", labels, rowsperstrip=3, compression="deflate")
    assert convert(tmp_path / "a.tif", tmp_path, "--downsample-method", "nearest", "--tile-size", "64", "--min-dimension", "64") == 0
    for level, array in enumerate(levels(tmp_path / "a.ome.zarr")):
        np.testing.assert_array_equal(array[0], labels[:: 2 << level, :: 2 << level])


@pytest.mark.parametrize("value", [3.5e38, -1.7976931348623157e308])
def test_floats_beyond_float32_are_an_error_and_infinities_are_not(
    tmp_path: Path, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = float(np.finfo(np.float32).max)
    values = np.full((70, 70), limit)
    values[0, :3] = np.inf, -np.inf, np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert convert(tmp_path / "a.tif", tmp_path / "out", "--initial-downsample", "1") == 0
    np.testing.assert_array_equal(levels(tmp_path / "out/a.ome.zarr")[0][0], values.astype(np.float32))
    values[61, 7] = value
    tifffile.imwrite(tmp_path / "b.tif", values)
    assert convert(tmp_path / "b.tif", tmp_path / "out", "--initial-downsample", "1") == 1
    assert f"the value {value} at y=61, x=7 does not fit into float32, as which float64 is stored" in capsys.readouterr().err


def test_large_integers_are_narrowed_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.arange(100 * 100, dtype="int64").reshape(100, 100) - 5000
    tifffile.imwrite(tmp_path / "fits.tif", values)
    assert convert(tmp_path / "fits.tif", tmp_path, "--initial-downsample", "1") == 0
    assert levels(tmp_path / "fits.ome.zarr")[0].dtype == np.int32
    np.testing.assert_array_equal(levels(tmp_path / "fits.ome.zarr")[0][0], values)
    values[70, 30] = 2**40
    tifffile.imwrite(tmp_path / "large.tif", values)
    assert convert(tmp_path / "large.tif", tmp_path) == 1
    message = capsys.readouterr().err
    assert "large.tif" in message and "y=70, x=30" in message and str(2**40) in message
    assert not (tmp_path / "large.ome.zarr").exists()


def test_a_dataset_with_the_same_key_is_left_alone(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((300, 300), "uint8"))
    source, dataset = tmp_path / "a.tif", tmp_path / "a.ome.zarr"
    assert convert(source, tmp_path) == 0
    inode = dataset.stat().st_ino
    assert convert(source, tmp_path) == 0 and dataset.stat().st_ino == inode
    assert convert(source, tmp_path, "--existing", "force") == 0 and dataset.stat().st_ino != inode
    inode = dataset.stat().st_ino
    assert convert(source, tmp_path, "--tile-size", "64", "--existing", "fail") == 73 and dataset.stat().st_ino == inode
    assert convert(source, tmp_path, "--tile-size", "64", "--existing", "skip") == 0 and dataset.stat().st_ino == inode
    assert convert(source, tmp_path, "--tile-size", "64") == 0 and dataset.stat().st_ino != inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.tif"]


@pytest.mark.parametrize("existing", ["replace", "skip", "fail"])
@pytest.mark.parametrize("what", ["a file", "a folder that is no OME-Zarr dataset"])
def test_what_is_no_dataset_is_neither_replaced_nor_taken_for_one(
    tmp_path: Path, existing: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((300, 300), "uint8"))
    inside = tmp_path / "a.ome.zarr" if what == "a file" else tmp_path / "a.ome.zarr/notes.txt"
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("mine")
    assert convert(tmp_path / "a.tif", tmp_path, "--existing", existing) == 73
    assert f"a.ome.zarr: is {what} and is not replaced" in capsys.readouterr().err
    assert inside.read_text() == "mine"


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_no_dataset_is_replaced_by_force_only(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((100, 100), "uint8"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    place = tmp_path / "a.ome.zarr"
    {"file": place.touch, "folder": lambda: (tmp_path / "b").rename(place), "link": lambda: place.symlink_to("b")}[what]()
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert convert(tmp_path / "a.tif", tmp_path) == 73
    assert "is not replaced: move it away or remove it, or choose EXISTING=force, which deletes it" in capsys.readouterr().err
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--existing", "force"]) == 0
    assert f"a.ome.zarr: has replaced a {what}" in capsys.readouterr().err
    assert (place / "zarr.json").exists() and not place.is_symlink()
    assert (tmp_path / "b" / "mine").exists() or what == "folder"


@pytest.mark.parametrize("before", [False, True])
def test_a_corrupt_input_leaves_nothing_hidden(tmp_path: Path, before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what it has made itself, nor what stood there of the dataset that it would have replaced."""
    source, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(source, random_pixels((600, 600), "uint8"), tile=(64, 64), compression="deflate")
    if before:
        assert convert(source, out) == 0
    with tifffile.TiffFile(source) as tiff:
        offset, count = tiff.pages.first.dataoffsets[77], tiff.pages.first.databytecounts[77]
    data = bytearray(source.read_bytes())
    data[offset : offset + count] = b"x" * count
    source.write_bytes(data)
    old = digest(out)
    assert convert(source, out, "--initial-downsample", "1", "--tile-size", "64") == 1
    assert "segment 77 is corrupt" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == (["a.ome.zarr"] if before else [])
    assert digest(out) == old


def test_a_linked_folder_of_the_output_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in/sub/er").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".x.ome.zarr.lock").touch()  # which the beginning of a run would remove
    (tmp_path / "out/sub").symlink_to(tmp_path / "elsewhere")
    for name in ("a.tif", "sub/er/b.tif", "sub/c.tif"):
        tifffile.imwrite(tmp_path / "in" / name, random_pixels((100, 100), "uint8"))
    assert cli.main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out"), "--quiet"]) == 73
    assert capsys.readouterr().err.count("out/sub: is a link, and below OUTPUT_DIR links are not followed") == 2
    assert (tmp_path / "out/a.ome.zarr/zarr.json").exists()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".x.ome.zarr.lock"]
    (tmp_path / "link").symlink_to(tmp_path / "out")  # OUTPUT_DIR itself may be one
    assert convert(tmp_path / "in/sub/c.tif", tmp_path / "link") == 0


def test_a_broken_input_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.tif").write_bytes(b"II*\0garbage")
    tifffile.imwrite(tmp_path / "in" / "good.tif", random_pixels((100, 100), "uint8"))
    assert cli.main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out"), "--quiet"]) == 1
    message = capsys.readouterr().err
    assert "broken.tif" in message and "Traceback" not in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.ome.zarr"]


def test_dry_run_tells_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((600, 700), "uint16"), tile=(256, 256))
    assert convert(tmp_path / "a.tif", tmp_path / "out", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "300 x 350, 4 chunks" in shown and "projected peak" in shown and "workers" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("access", "compression"), [("stream", "deflate"), ("spool", "lzw"), ("spool", "deflate")])
def test_huge_strips_are_streamed_or_spooled_to_the_same_bytes(tmp_path: Path, access: str, compression: str) -> None:
    pixels = random_pixels((2, 700, 500), "uint16")
    for name in ("a", "b"):  # the second image takes over the pool of the first
        options = {"compression": compression, "predictor": True, "rowsperstrip": 700, "photometric": "minisblack"}
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", pixels, ome=True, metadata={"axes": "CYX"}, **options)
    planner = slots_of(1 << 19, access=access)
    with closing(Local(nursery.Nursery(may_fork=False))) as engine:
        descriptors = []
        for name in ("a", "b"):
            source, out = tmp_path / f"{name}.ome.tif", tmp_path / name
            assert convert(source, out, "--tile-size", "64", "--min-dimension", "64") == 0
            engines.convert(source, out / access, engine, planner, min_dimension=64)
            assert digest(out / access / "a.ome.zarr") == digest(out / f"{name}.ome.zarr")
            assert [path.name for path in (out / access).iterdir()] == ["a.ome.zarr"]
            descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
    assert descriptors[1] <= descriptors[0]


def test_given_up_only_after_the_smallest_plan_was_killed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omezarr_proc.build.image.dataset_key", lambda image, settings: "k")
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((3000, 3000, 3), "uint8"), photometric="rgb", tile=(512, 512))
    plans: list[Plan] = []

    def planned(image: Image, pyramid: Pyramid, limits: Limits, smaller: int = 0, **kept: bool) -> Plan:
        plans[:] = [make_plan(image, pyramid, limits, steps) for steps in range(40)]
        return make_plan(image, pyramid, limits, smaller, **kept)

    text = ""
    for kills in range(1, 40):
        out = tmp_path / f"{kills}"
        out.mkdir()
        for _ in range(kills):
            record = Record.open(out / "a.ome.zarr", "k")
            record.begin({})
            record.close()
        try:
            engines.convert(tmp_path / "a.tif", out, Serial(), planned, tile_size=256, initial_downsample=1, compression="lz4")
        except LimitError as error:
            text = str(error)
            break
    assert f"was killed {kills} times before it got anywhere, the last times with the smallest plan" in text
    assert "if somebody else killed it" in text
    assert plans[kills - 2] == plans[kills - 1] == plans[-1] != plans[kills - 3], "its plan was smaller for each kill"
    assert not (out / "a.ome.zarr").exists()


def test_a_nursery_that_shares_no_pages_leaves_less_to_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((300, 300), "uint8"))
    seen: list[int] = []

    def planned(attempts: Attempts, pyramid: Pyramid, smaller: int = 0) -> Plan:
        seen.append(attempts.means.limits.headroom_bytes)
        return plan(attempts, pyramid, smaller)

    plan = Attempts.plan
    monkeypatch.setattr(Attempts, "plan", planned)
    monkeypatch.setattr(nursery, "_single_threaded", lambda: False)
    limits = Limits(memory_bytes=512 << 20, headroom_bytes=400 << 20, memory_source="a test", cpus=2.0, cpu_source="a test")
    monkeypatch.setattr(process, "read_limits", lambda memory, workers: limits)
    assert convert(tmp_path / "a.tif", tmp_path) == 0
    assert set(seen) == {limits.headroom_bytes - nursery.EXECUTED_BYTES}
