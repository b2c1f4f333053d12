"""Engines: whichever makes a dataset makes the same bytes, goes on with what another one has left, and says as clearly what is wrong."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from engines import Few, convert, slots_of
from runs import digest

from omezarr_proc.engine import serial
from omezarr_proc.engine.base import Engine, OnEncoded, OnStored
from omezarr_proc.engine.local import nursery
from omezarr_proc.engine.local.engine import Local
from omezarr_proc.engine.serial import Serial
from omezarr_proc.model.errors import InputError, OutOfTimeError, ProcError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.plan.plan import make_plan
from omezarr_proc.publish.hidden import record_path, staging_path
from omezarr_proc.publish.history import header, line, read, recorded_key
from omezarr_proc.tiff.read.reader import Reader
from omezarr_proc.work.replies import Reply
from omezarr_proc.work.tasks import Loose

Written = tuple[tuple[int, ...], str, str, dict[str, Any]]
RGB: Written = ((301, 203, 3), "uint8", "YXS", {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"})
ONE_STRIP: Written = ((2, 260, 201), "uint16", "CYX", {"photometric": "minisblack", "rowsperstrip": 260, "compression": "deflate"})
WHOLE = {"rowsperstrip": 150, "compression": "deflate"}
# How each is written, how it is read (None: as the plan has it), and its settings.
IMAGES: dict[str, tuple[Written, str | None, dict[str, Any]]] = {
    "tiles": (((2, 301, 403), "uint16", "CYX", {"photometric": "minisblack", "tile": (80, 80), "compression": "lzw"}), None, {}),
    "strips": (((257, 330), "int16", "YX", {"rowsperstrip": 7, "compression": "deflate", "predictor": True}), None, {}),
    "spool": (ONE_STRIP, "spool", {}),
    "stream": (ONE_STRIP, "stream", {}),
    "rgb bundled": (RGB, None, {"channel_chunking": "bundled", "zarr_format": "2"}),
    "rgb unbundled": (RGB, None, {"channel_chunking": "per-channel", "initial_downsample": 1}),
    "stack": (((5, 2, 150, 131), "uint8", "ZCYX", {"photometric": "minisblack"}), None, {}),
    "float": (((300, 270), "float32", "YX", {"tile": (64, 64)}), None, {"initial_downsample": 1}),
    "volume": (((9, 2, 150, 131), "uint16", "ZCYX", {"photometric": "minisblack"}), None, {"z_downsample": "isotropic", "z_chunk": 3}),
    "volume of planes": (((9, 150, 131), "uint8", "ZYX", {"compression": "lzw"}), None, {"z_downsample": "isotropic", "z_chunk": 1}),
    "volume, spool": (((19, 150, 131), "uint8", "ZYX", WHOLE), "spool", {"z_downsample": "isotropic", "z_chunk": 4}),
    "shards": (((2, 700, 403), "uint16", "CYX", {"photometric": "minisblack", "tile": (80, 80)}), None, {"sharding": "on"}),
    "rgb shards": (((301, 703, 3), *RGB[1:]), None, {"sharding": "on", "initial_downsample": 1, "channel_chunking": "per-channel"}),
    "deep shards": (
        ((9, 2, 300, 331), "uint8", "ZCYX", {"photometric": "minisblack"}),
        None,
        {"z_downsample": "isotropic", "z_chunk": 1, "sharding": "on", "initial_downsample": 1},
    ),
    "nearest": (((257, 301), "uint16", "YX", {"rowsperstrip": 3}), None, {"downsample_method": "nearest", "initial_downsample": 4}),
}


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    """One for all, as for the images of a batch."""
    engine = Local(nursery.Nursery(may_fork=False))
    yield engine
    engine.close()


@pytest.fixture
def alone() -> Iterator[Serial]:
    with closing(Serial()) as engine:
        yield engine


@pytest.fixture(params=["serial after local", "local after serial"])
def engines(request: pytest.FixtureRequest, local: Local, alone: Serial) -> tuple[Engine, Engine]:
    return (local, alone) if request.param == "serial after local" else (alone, local)


def write(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file, its settings and its planner. All of its bands are small, so that there are several, and several passes."""
    (shape, dtype, axes, options), access, settings = IMAGES[name]
    rng = np.random.default_rng(3)
    if dtype == "float32":
        pixels = rng.standard_normal(shape).astype(dtype)
        pixels[:90, :80], pixels[200, 3], pixels[201, 9] = np.nan, np.inf, -np.inf
    else:
        pixels = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    tifffile.imwrite(folder / "a.ome.tif", pixels, ome=True, metadata={"axes": axes}, **options)
    return folder / "a.ome.tif", {"planner": slots_of(0, access=access), **settings}


@pytest.mark.parametrize("name", IMAGES)
def test_the_serial_engine_makes_the_bytes_of_the_local_one(tmp_path: Path, name: str, local: Local, alone: Serial) -> None:
    source, settings = write(name, tmp_path)
    assert alone.processes() == []
    found = convert(source, tmp_path / "serial", alone, **settings)
    expected = convert(source, tmp_path / "local", local, **settings)
    assert replace(found, name="", seconds=0.0, peak_bytes=None) == replace(expected, name="", seconds=0.0, peak_bytes=None)
    assert found.levels > 1
    bytes_of = digest(tmp_path / "local")
    assert digest(tmp_path / "serial") == bytes_of

    settings["planner"] = make_plan  # one band for all of it where that is possible; the engine has another job now
    convert(source, tmp_path / "again", alone, **settings)
    assert digest(tmp_path / "again") == bytes_of


@pytest.mark.parametrize("name", ["spool", "rgb bundled", "stack", "float", "deep shards"])
def test_each_goes_on_with_what_the_other_has_left(tmp_path: Path, name: str, engines: tuple[Engine, Engine]) -> None:
    source, settings = write(name, tmp_path)
    first, second = engines
    whole = convert(source, tmp_path / "whole", first, **settings)
    with pytest.raises(OutOfTimeError, match=rf"{source}: out of time at [1-9]\d? %; run it again to go on from there"):
        convert(source, tmp_path / "out", Few(first, 3), **settings)
    assert not (tmp_path / "out/a.ome.zarr").exists()
    resumed = convert(source, tmp_path / "out", second, **settings)
    assert 0 < resumed.pixels < whole.pixels
    assert resumed.stored_bytes == whole.stored_bytes
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("name", ["tiles", "stack"])
@pytest.mark.parametrize("damaged", [False, True])
def test_records_whose_units_have_no_checksums_go_on(tmp_path: Path, name: str, damaged: bool, engines: tuple[Engine, Engine]) -> None:
    """As older versions wrote them: eight values a unit."""
    source, settings = write(name, tmp_path)
    first, second = engines
    out, target = tmp_path / "out", tmp_path / "out/a.ome.zarr"
    whole = convert(source, tmp_path / "whole", first, **settings)
    with pytest.raises(OutOfTimeError):
        convert(source, out, Few(first, 3), **settings)

    data = record_path(target).read_bytes()
    key = recorded_key(data)
    assert key is not None
    history = read(data, key)
    assert history is not None and len(history.units) >= 3
    older = [
        json.loads(json.dumps(["unit", unit.frame, unit.level, *unit.rows, *unit.columns, unit.extremes, unit.bytes]))
        for unit in history.units
    ]
    assert {len(fact) - 1 for fact in older} == {8}
    magic = data[: data.index(header(key))]
    record_path(target).write_bytes(magic + header(key) + b"".join(map(line, older)))

    staged = {path.relative_to(staging_path(target)): path for path in staging_path(target).glob("*/c/**/*") if path.is_file()}
    times = {name: path.stat().st_mtime_ns for name, path in staged.items()}
    assert times
    lost = next(iter(staged))
    if damaged:
        staged[lost].write_bytes(b"short")
    resumed = convert(source, out, second, **settings)
    assert 0 < resumed.pixels < whole.pixels
    assert digest(out) == digest(tmp_path / "whole")
    if not damaged:
        assert {name: (target / name).stat().st_mtime_ns for name in times} == times  # nothing was made anew


@pytest.mark.parametrize("bands", [0, 2])
def test_the_serial_engine_stops_at_its_deadline_between_two_bands(tmp_path: Path, bands: int, local: Local, alone: Serial) -> None:
    source, settings = write("tiles", tmp_path)
    ticks, percent = count(), r"[1-9]\d?" if bands else "0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serial, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
        with (
            pytest.raises(OutOfTimeError, match=rf"{source}: out of time at {percent} %; run it again"),
            closing(Serial(float(bands))) as engine,
        ):
            convert(source, tmp_path / "out", engine, **settings)
    assert next(ticks) == bands + 1
    resumed = convert(source, tmp_path / "out", local, **settings)
    whole = convert(source, tmp_path / "whole", alone, **settings)
    assert (resumed.pixels < whole.pixels) == (bands > 0)
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_tasks_end_at_the_deadline_too() -> None:
    tasks: Iterable[Loose] = iter([None])  # type: ignore[list-item]
    with pytest.raises(OutOfTimeError):
        Serial(deadline=0.0).work(tasks, lambda task, reply: None)


def test_a_corrupt_segment_is_an_error_with_the_name_of_the_file(tmp_path: Path, engines: tuple[Engine, Engine]) -> None:
    source, settings = write("rgb bundled", tmp_path)
    with tifffile.TiffFile(source) as tiff:
        offset, size = tiff.pages.first.dataoffsets[7], tiff.pages.first.databytecounts[7]
    data = bytearray(source.read_bytes())
    data[offset : offset + size] = b"x" * size
    source.write_bytes(data)
    texts = []
    for engine in engines:
        with pytest.raises(InputError, match=rf"^{source}: .*segment 7 is corrupt") as error:
            convert(source, tmp_path / "out", engine, **settings)
        texts.append(str(error.value))
        assert os.listdir(tmp_path / "out") == []
    assert texts[0] == texts[1]
    assert "\n" not in texts[0]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (MemoryError(), "a worker ran out of memory: give it more, or set MAX_WORKERS lower"),
        (ProcError("as it is"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_decoder_raises_is_one_line_for_the_user(
    tmp_path: Path, raised: Exception, said: str | None, alone: Serial, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, settings = write("tiles", tmp_path)

    def surprise(*arguments: object) -> None:
        raise raised

    monkeypatch.setattr(Reader, "read", surprise)
    with pytest.raises(ProcError) as error:
        convert(source, tmp_path / "out", alone, **settings)
    assert str(error.value) == (f"{source}: {said}" if said else "as it is")
    assert error.value.__cause__ is raised


def test_what_cannot_be_stored_is_an_error_too(tmp_path: Path, alone: Serial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written at once, so that no ticket has to tell of it."""
    source, settings = write("tiles", tmp_path)

    def make(pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        (staging_path(tmp_path / "out/a.ome.zarr") / "0/c").mkdir(parents=True, exist_ok=True)
        (staging_path(tmp_path / "out/a.ome.zarr") / "0/c/0").write_bytes(b"in the way")
        Serial.make(alone, pass_, bands, on_encoded, on_stored)

    monkeypatch.setattr(alone, "make", make)
    with pytest.raises(ProcError, match=r"0/c/0/0/0: cannot write: Not a directory"):
        convert(source, tmp_path / "out", alone, **settings)


@pytest.mark.parametrize("name", ["spool", "tiles"])
def test_close_leaves_no_descriptor(tmp_path: Path, name: str, alone: Serial) -> None:
    source, settings = write(name, tmp_path)

    def opened() -> set[str]:
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return {os.readlink(link) for link in links if os.path.lexists(link) and os.readlink(link).startswith(f"{tmp_path}/")}

    for out in ("1", "2"):
        convert(source, tmp_path / out, alone, **settings)
        assert len(opened()) == 1 + (name == "spool"), "the TIFF and the spool file of this job"
    alone.close()
    alone.close()
    assert opened() == set()


def check_contract(engine: Engine, reply: Callable[[Loose, Reply], None]) -> None:
    """For mypy: both keep the contract."""
    engine.work((), reply)


def test_no_work_is_done_at_once(local: Local) -> None:
    for engine in (Serial(), local):
        check_contract(engine, lambda task, reply: None)
