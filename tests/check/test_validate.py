"""What is right passes, here as with ome-zarr-models; each defect made by hand is found, and named by its place and its rule."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from datasets import IMAGES, change, copied, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image

from omezarr_proc import cli
from omezarr_proc.app import info, validate
from omezarr_proc.check.spec import check
from omezarr_proc.check.verdict import judge, refuse_wrong
from omezarr_proc.model.errors import OutputError
from omezarr_proc.store.codec import Codec
from omezarr_proc.store.read import open_dataset

Edit = Callable[[dict[str, Any]], object]


def flat(edit: Edit) -> Callable[[Path], None]:
    """Change the 0.4 form, and the same in the 0.5 form, so that they stay alike."""

    def change_both(dataset: Path) -> None:
        if (dataset / ".zattrs").exists():
            change(dataset / ".zattrs", edit)
        else:
            change(dataset / "zarr.json", lambda found: (edit(found["attributes"]), edit(found["attributes"]["ome"])))

    return change_both


def root(edit: Edit) -> Callable[[Path], None]:
    """Change the root attributes as a whole."""
    return lambda dataset: (
        change(dataset / ".zattrs", edit)
        if (dataset / ".zattrs").exists()
        else change(dataset / "zarr.json", lambda found: edit(found["attributes"]))
    )


def array(edit: Edit, v2: Edit | None = None) -> Callable[[Path], None]:
    """Change the metadata of level 1."""

    def change_array(dataset: Path) -> None:
        if (dataset / "1" / ".zarray").exists():
            change(dataset / "1" / ".zarray", v2 or edit)
        else:
            change(dataset / "1" / "zarr.json", edit)

    return change_array


def level(index: int, edit: Edit) -> Callable[[Path], None]:
    return flat(lambda found: edit(found["multiscales"][0]["datasets"][index]))


def channel(edit: Edit) -> Callable[[Path], None]:
    return flat(lambda found: edit(found["omero"]["channels"][1]))


def transformation(index: int, number: int, **values: Any) -> Callable[[Path], None]:
    return level(index, lambda found: found["coordinateTransformations"][number].update(values))


BOTH: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("no multiscales", root(lambda a: (a.pop("multiscales"), a.pop("ome", None))), "multiscales", "an image has multiscales"),
    ("empty multiscales", flat(lambda a: a.update(multiscales=[])), "multiscales[0]", "at least one"),
    ("wrong version", root(lambda a: a["multiscales"][0].update(version="0.3")), "multiscales[0].version", "'0.4'"),
    ("no name", flat(lambda a: a["multiscales"][0].pop("name")), "multiscales[0].name", "is missing"),
    ("no axes", flat(lambda a: a["multiscales"][0].pop("axes")), "multiscales[0].axes", "has a name"),
    ("old axes", flat(lambda a: a["multiscales"][0].update(axes=list("czyx"))), "multiscales[0].axes", "has a name"),
    ("axes in wrong order", flat(lambda a: a["multiscales"][0]["axes"].reverse()), "multiscales[0].axes", "comes first"),
    ("an axis twice", flat(lambda a: a["multiscales"][0]["axes"][1].update(name="x")), "multiscales[0].axes", "unique"),
    ("an axis too few", flat(lambda a: a["multiscales"][0]["axes"].pop(1)), "0", "one axis for each dimension"),
    ("no unit name", flat(lambda a: a["multiscales"][0]["axes"][-1].update(unit="")), "multiscales[0].axes[3].unit", "micrometer"),
    ("no datasets", flat(lambda a: a["multiscales"][0].pop("datasets")), "multiscales[0].datasets", "at least one"),
    ("a path twice", level(1, lambda e: e.update(path="0")), "multiscales[0].datasets", "own path"),
    ("a path outside", level(1, lambda e: e.update(path="../b")), "multiscales[0].datasets[1].path", "below the root"),
    ("a level that is not there", level(1, lambda e: e.update(path="7")), "7", "is not there"),
    ("levels in wrong order", flat(lambda a: a["multiscales"][0]["datasets"].reverse()), "0", "largest level to the smallest"),
    ("no scale", level(1, lambda e: e.pop("coordinateTransformations")), "multiscales[0].datasets[1].coordinateTransformations", "scale"),
    (
        "translation first",
        level(1, lambda e: e["coordinateTransformations"].reverse()),
        "multiscales[0].datasets[1].coordinateTransformations",
        "first one scale",
    ),
    (
        "no translation",
        level(1, lambda e: e["coordinateTransformations"].pop()),
        "multiscales[0].datasets[1].coordinateTransformations",
        "jump",
    ),
    ("a short scale", transformation(1, 0, scale=[1.3, 1.3]), "multiscales[0].datasets[1].coordinateTransformations.scale", "each axis"),
    ("a scale of 0", transformation(1, 0, scale=[1, 1, 0, 1]), "multiscales[0].datasets[1].coordinateTransformations.scale", "above 0"),
    ("a wrong scale", transformation(1, 0, scale=[1.0, 1.0, 1.3, 1.3000001]), "multiscales[0].datasets[1]", "powers of two"),
    ("a scaled z", transformation(1, 0, scale=[1.0, 2.0, 1.3, 1.3]), "multiscales[0].datasets[1]", "powers of two"),
    (
        "a wrong translation",
        transformation(1, 1, translation=[0.0, 0.0, 0.325, 0.4875]),
        "multiscales[0].datasets[1]",
        "the middle of the full-resolution pixels",
    ),
    (
        "a shifted channel",
        transformation(0, 1, translation=[1.0, 0.0, 0.1625, 0.1625]),
        "multiscales[0].datasets[0]",
        "the middle of the full-resolution pixels",
    ),
    ("no omero", flat(lambda a: a.pop("omero")), "omero", "black picture"),
    ("no channels", flat(lambda a: a["omero"].pop("channels")), "omero.channels", "a list of objects"),
    ("a channel too few", flat(lambda a: a["omero"]["channels"].pop()), "omero.channels", "every channel is described"),
    ("a colour with #", channel(lambda c: c.update(color="#00FF00")), "omero.channels[1].color", "six hexadecimal digits"),
    ("no colour", channel(lambda c: c.pop("color")), "omero.channels[1].color", "six hexadecimal digits"),
    *((f"no {key}", channel(lambda c, key=key: c.pop(key)), f"omero.channels[1].{key}", "breaks some viewer") for key in
      ("label", "active", "coefficient", "family", "inverted")),  # type: ignore[misc]
    ("no window", channel(lambda c: c.pop("window")), "omero.channels[1].window", "min, max, start and end"),
    ("no window start", channel(lambda c: c["window"].pop("start")), "omero.channels[1].window", "min, max, start and end"),
    ("an infinite window", channel(lambda c: c["window"].update(end=float("inf"))), "omero.channels[1].window", "min, max, start and end"),
    ("a huge window", channel(lambda c: c["window"].update(end=10**400)), "omero.channels[1].window", "min, max, start and end"),
    ("an empty window", channel(lambda c: c["window"].update(start=5, end=5)), "omero.channels[1].window", "start is below end"),
    ("no rdefs", flat(lambda a: a["omero"].pop("rdefs")), "omero.rdefs", "shown first"),
    ("defaultZ too high", flat(lambda a: a["omero"]["rdefs"].update(defaultZ=3)), "omero.rdefs.defaultZ", "one of the image"),
    ("model color", flat(lambda a: a["omero"]["rdefs"].update(model="color")), "omero.rdefs.model", "all channels in one chunk"),
    ("other sizes", array(lambda a: a.update(shape=[2, 3, 38, 34])), "1", "sizes halve"),
    ("another type", array(lambda a: a.update(data_type="int16"), lambda a: a.update(dtype="<i2")), "1", "all levels have one type"),
    ("float64", array(lambda a: a.update(data_type="float64"), lambda a: a.update(dtype="<f8")), "1", "web viewers draw"),
    ("a broken shape", array(lambda a: a.update(shape=[2, 3])), "1", "every path of multiscales is an array"),
    ("no shape", array(lambda a: a.pop("shape")), "1", "every path of multiscales is an array"),
    ("odd tiles", array(lambda a: a["chunk_grid"]["configuration"].update(chunk_shape=[1, 1, 48, 64]),
                        lambda a: a.update(chunks=[1, 1, 48, 64])), "1", "a power of two"),
    ("dots", array(lambda a: a["chunk_key_encoding"]["configuration"].update(separator="."),
                   lambda a: a.update(dimension_separator=".")), "1", "nested"),
    ("big endian", array(lambda a: a["codecs"][0].update(configuration={"endian": "big"}), lambda a: a.update(dtype=">u2")),
     "1", "little endian"),
]  # fmt: skip
V3: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("only 0.4", root(lambda a: a.pop("ome")), "ome", "attributes.ome"),
    ("only 0.5", root(lambda a: (a.pop("multiscales"), a.pop("omero"))), "multiscales", "Neuroglancer"),
    ("forms that differ", root(lambda a: a["ome"]["multiscales"][0].update(name="b")), "multiscales", "differs from ome.multiscales"),
    ("windows that differ", root(lambda a: a["omero"]["channels"][0]["window"].update(end=9.5)), "omero", "differs from ome.omero"),
    ("levels that differ", root(lambda a: a["multiscales"][0]["datasets"].pop()), "multiscales", "differs from ome.multiscales"),
    ("wrong 0.5 version", root(lambda a: a["ome"].update(version="0.4")), "ome.version", "'0.5'"),
    ("no dimension_names", array(lambda a: a.pop("dimension_names")), "1", "dimension_names are None"),
    ("other dimension_names", array(lambda a: a.update(dimension_names=["c", "z", "x", "y"])), "1", "those of the axes"),
    ("wrong typesize", array(lambda a: a["codecs"][1]["configuration"].update(typesize=1)), "1", "bytes of a pixel"),
    ("a .zgroup beside it", lambda d: (d / ".zgroup").write_text("{}"), ".zgroup", "Neuroglancer refuses"),
    ("a .zattrs in a level", lambda d: (d / "1" / ".zattrs").write_text("{}"), "1/.zattrs", "Neuroglancer refuses"),
]  # fmt: skip
V2: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("0.5 in Zarr v2", root(lambda a: a.update(ome={"version": "0.5", "multiscales": a["multiscales"]})), "ome", "Zarr v3 only"),
]


def test_there_are_no_two_defects_of_one_name() -> None:
    assert len({name for name, *_ in [*BOTH, *V3, *V2]}) == len([*BOTH, *V3, *V2])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", IMAGES)
def test_what_is_made_here_is_right(name: str, zarr_format: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "--deep", str(made(name, zarr_format))]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    if zarr_format == 3:
        Image.from_zarr(zarr.open_group(made(name), mode="r"))


@pytest.mark.parametrize("flags", [("--downsample-method", "nearest"), ("--initial-downsample", "8"), ("--channel-chunking", "bundled")])
def test_whatever_the_settings(flags: tuple[str, ...]) -> None:
    assert judge(made("stack", 3, *flags), deep=True).findings == ()
    assert judge(made("stack", 2, "--axes", "czyx", "--max-levels", "1", *flags), deep=True).findings == ()


DEFECTS = [(version, *defect) for version, defects in ((2, BOTH + V2), (3, BOTH + V3)) for defect in defects]


@pytest.mark.parametrize(("version", "name", "edit", "where", "rule"), DEFECTS, ids=[f"{d[1]}, v{d[0]}" for d in DEFECTS])
def test_each_defect_of_metadata_is_found_and_named(
    tmp_path: Path, version: int, name: str, edit: Callable[[Path], None], where: str, rule: str
) -> None:
    dataset = copied(tmp_path, "stack", version)
    edit(dataset)
    verdict = judge(dataset)
    assert not verdict.valid
    assert [f for f in verdict.findings if f.where in (where, f"ome.{where}") and rule in f.text], [f.text for f in verdict.findings]
    assert verdict.ours


@pytest.mark.parametrize(("version", "chunk"), [(3, "1/c/1/2/0/0"), (2, "1/1/2/0/0")])
def test_a_missing_chunk(tmp_path: Path, version: int, chunk: str, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack", version)
    (dataset / chunk).unlink()
    assert cli.main(["validate", str(dataset)]) == 1
    found, last = capsys.readouterr().out.splitlines()
    assert f"{dataset}: error: {chunk}: 1 of 6 chunks of level 1 are missing" in found
    assert "answers 403" in found
    assert last.endswith("WRONG, 1 error, 2 levels, 30 chunks")
    shutil.rmtree(dataset / "0")
    assert len(judge(dataset).findings) >= 1


@pytest.mark.parametrize("damage", [b"", b"\x02\x01", None, "short", "other size", "garbage"])
@pytest.mark.parametrize(("version", "chunk"), [(3, "0/c/1/2/0/1"), (2, "0/1/2/0/1")])
def test_a_damaged_chunk_is_found_by_deep(tmp_path: Path, version: int, chunk: str, damage: bytes | str | None) -> None:
    dataset = copied(tmp_path, "stack", version)
    path = dataset / chunk
    whole = path.read_bytes()
    other = Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=2).encode(np.zeros((1, 1, 64, 32), "uint16"))
    damaged = {None: whole + b"\0", "short": whole[:-1], "other size": other, "garbage": whole[:16] + b"\xff" * (len(whole) - 16)}
    path.write_bytes(damage if isinstance(damage, bytes) else damaged[damage])
    shallow = judge(dataset)
    assert shallow.valid == (damage == "garbage")
    assert [
        (f.where, f.text)
        for f in shallow.findings
        if "1 of 24 chunks of level 0 are empty, cut off, too long or of another size" not in f.text
    ] == []
    assert [finding.where for finding in shallow.findings] == ([] if shallow.valid else [chunk])
    verdict = judge(dataset, deep=True)
    assert not verdict.valid
    assert [(finding.where, finding.rule) for finding in verdict.findings] == [(chunk, "every chunk can be decoded")]


@pytest.mark.parametrize("damage", ["empty", "cut", "pipe", "folder"])
def test_an_uncompressed_chunk_has_the_length_of_its_pixels(tmp_path: Path, damage: str) -> None:
    level = tmp_path / "a.zarr/0"
    zarr.create_array(level, data=np.ones((64, 50), "uint16"), chunks=(32, 32), compressors=None, dimension_names=("y", "x"))
    transform = {"type": "scale", "scale": [1, 1]}
    datasets = [{"path": "0", "coordinateTransformations": [transform]}]
    multiscale = {"axes": [{"name": name, "type": "space"} for name in "yx"], "datasets": datasets}
    zarr.open_group(tmp_path / "a.zarr", mode="a").attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    path = tmp_path / "a.zarr/0/c/1/1"
    assert [finding for finding in judge(path.parents[3]).findings if "whole" in finding.rule] == []
    data = path.read_bytes()
    path.unlink()
    match damage:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(b"" if damage == "empty" else data[:-1])
    (finding,) = [finding for finding in judge(tmp_path / "a.zarr").findings if "whole" in finding.rule]
    assert finding.where == "0/c/1/1"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("name", "index"), [("rgb", (1, 70, 11)), ("stack", (1, 2, 37, 0)), ("time", (1, 1, 2, 37, 34)), ("float", (0, 3, 3))]
)
def test_a_level_of_other_pixels_is_found_by_deep(tmp_path: Path, name: str, index: tuple[int, ...], version: int) -> None:
    dataset = copied(tmp_path, name, version)
    level = zarr.open_array(dataset / "1", mode="r+")
    changed = level[...]
    changed[index] += 1
    level[...] = changed
    assert judge(dataset).valid
    verdict = judge(dataset, deep=True)
    finding = verdict.findings[0]  # what is made of that level may differ too
    assert "every level is the exact 2x2 mean" in finding.rule
    assert ", ".join(f"{axis}={i}" for axis, i in zip(open_dataset(dataset).axes, index, strict=True)) in finding.problem
    assert not verdict.valid


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("name", "channel", "flags"),
    [("rgb", 1, ()), ("stack", 1, ()), ("stack", 0, ("--channel-chunking", "bundled")), ("time", 1, ()), ("float", 0, ())],
)
def test_a_window_of_other_extremes_is_found_by_deep(
    tmp_path: Path, name: str, channel: int, flags: tuple[str, ...], version: int, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = copied(tmp_path, name, version, *flags)
    pixels = zarr.open_array(dataset / "0", mode="r")[...].take(channel, axis=open_dataset(dataset).axes.index("c"))
    low, high = float(pixels.min()), float(pixels.max())
    where = f"{'ome.' if version == 3 else ''}omero.channels[{channel}].window"
    for start, end in ((low + 1, high), (low, high - 1), (low - 1, high), (low, high + 1)):
        flat(lambda a, low=start, high=end: a["omero"]["channels"][channel]["window"].update(min=low, max=high))(dataset)  # type: ignore[misc]
        assert judge(dataset).valid
        assert cli.main(["validate", "--deep", str(dataset)]) == 1
        found, last = capsys.readouterr().out.splitlines()
        assert f": error: {where}: from {start} to {end}, pixels from {low} to {high} (min and max are the finite extremes" in found
        assert "WRONG, 1 error" in last


@pytest.mark.parametrize("chunk", [None, b"garbage"])
def test_of_a_dataset_that_is_not_whole_no_pixel_may_lie_outside_its_window(tmp_path: Path, chunk: bytes | None) -> None:
    dataset = copied(tmp_path, "stack")
    (path := dataset / "0/c/1/2/0/1").unlink()
    if chunk:
        path.write_bytes(chunk)
    set_window = lambda **window: channel(lambda c: c["window"].update(window))(dataset)  # noqa: E731
    set_window(min=-1, max=1e6)
    assert [finding for finding in judge(dataset, deep=True).findings if "extremes" in finding.rule] == []
    set_window(min=30000)
    (finding,) = [finding for finding in judge(dataset, deep=True).findings if "extremes" in finding.rule]
    assert finding.where == "ome.omero.channels[1].window"


def test_pixels_that_are_not_finite_count_for_no_window(tmp_path: Path) -> None:
    pixels = np.full((1, 70, 70), np.nan, "float32")
    pixels[0, 3, 4:8] = -np.inf, np.inf, -2.5, 7
    for sound in (pixels, np.full_like(pixels, np.nan)):
        source = tmp_path / "nan.tif"
        tifffile.imwrite(source, sound[0])
        assert cli.main([str(source), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--existing", "force", "--quiet"]) == 0
        assert judge(tmp_path / "nan.ome.zarr", deep=True).findings == ()


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "rgb", 3)
    (dataset / "0/c/0/0/0").unlink()
    assert cli.main(["validate", str(dataset), str(made("rgb")), str(tmp_path / "none"), "--json"]) == 1
    wrong, right, absent = json.loads(capsys.readouterr().out)["datasets"]
    assert (wrong["valid"], right["valid"], absent["valid"]) == (False, True, False)
    assert wrong["findings"][0]["where"] == "0/c/0/0/0"
    assert wrong["findings"][0]["error"] is True
    counted = {"levels": 3, "chunks": right["chunks"], "images": None}
    assert right == {"path": str(made("rgb")), "valid": True, "error": None, "findings": []} | counted
    assert "is not there" in absent["error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has neither zarr.json nor .zgroup"),
        ({"zarr.json": "{"}, "is not JSON"),
        ({"zarr.json": "[]"}, "is not a JSON object"),
        ({"zarr.json": '{"node_type": "array"}'}, "is not of a group"),
        ({"zarr.json": '{"node_type": "group", "attributes": 5}'}, "not a JSON object"),
        ({".zgroup": '{"zarr_format": 2}', ".zattrs": "nonsense"}, "is not JSON"),
        ({".zgroup": '{"zarr_format": 2}', ".zattrs": '{"plate": {}}'}, "plate.rows: is no list of objects"),
        ({".zgroup": '{"zarr_format": 2}'}, "has no metadata of an image"),
        ({"zarr.json": '{"node_type": "group", "attributes": {"ome": {"bioformats2raw.layout": 3}}}'}, "bioformats2raw.layout"),
    ],
)
def test_what_is_no_image_is_said_in_a_line(
    tmp_path: Path, content: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    assert cli.main(["validate", str(tmp_path)]) == 1
    assert message in capsys.readouterr().out


def test_a_folder_of_datasets_is_told_from_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.ome.zarr", "a.ome.zarr"):
        (tmp_path / name).mkdir()
    for verb in ("validate", "info", "verify", "preview"):
        assert cli.main([verb, str(tmp_path)]) != 0
        assert "is no dataset but a folder of such: name one, as a.ome.zarr" in "".join(capsys.readouterr())


def test_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate"]) == 2
    assert cli.main(["validate", "--deeper", "a"]) == 2
    assert cli.main(["validate", "--help"]) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "validate").write_bytes(b"no TIFF")
    assert cli.main(["./validate", "--output-dir", "out"]) == 1
    assert "not a TIFF" in capsys.readouterr().err


def test_of_others_what_only_viewers_want_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written by zarr alone: gzip, a missing chunk of fill values, 0.4 in Zarr v2, two levels by another method."""
    group = zarr.create_group(tmp_path / "b.zarr", zarr_format=2)
    pixels = np.arange(3 * 90 * 70, dtype="uint16").reshape(3, 90, 70)
    pixels[:, :32, :32] = 0
    for path, data in (("s0", pixels), ("s1", pixels[:, ::2, ::2])):
        stored = group.create_array(
            path,
            shape=data.shape,
            chunks=(1, 32, 32),
            dtype=data.dtype,
            compressors=numcodecs.GZip(3),
            chunk_key_encoding={"name": "v2", "separator": "/"},
            config={"write_empty_chunks": False},
        )
        stored[...] = data
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    levels = [
        {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]},
        {"path": "s1", "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 2]}]},
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    assert cli.main(["validate", str(tmp_path / "b.zarr"), "--deep"]) == 0
    shown = capsys.readouterr().out
    assert ": error: " not in shown
    assert "s0/0/0/0: 3 of 27 chunks of level s0 are missing" in shown
    assert "levels are not compared" in shown
    assert "omero: is missing" in shown
    (tmp_path / "b.zarr/s0/1/2/2").write_bytes(b"\x1f\x8bgarbage")
    assert cli.main(["validate", str(tmp_path / "b.zarr"), "--deep"]) == 1
    assert "error: s0/1/2/2: cannot be decoded" in capsys.readouterr().out


def test_shards_are_opened_and_damage_in_them_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    for path in ("0", "1"):
        level = zarr.open_array(made("stack") / path, mode="r")
        shutil.rmtree(dataset / path)
        zarr.create_array(
            dataset / path, data=level[...], chunks=(1, 1, 32, 32), shards=(1, 1, 64, 64), dimension_names=("c", "z", "y", "x")
        )
    assert judge(dataset, deep=True).findings == ()
    assert cli.main(["info", str(dataset)]) == 0
    assert "shards of 32 x 32 chunks" in capsys.readouterr().out.replace("1 x 1 x ", "")
    shard = dataset / "0/c/1/2/0/1"
    shard.write_bytes(shard.read_bytes()[:-50])
    assert [finding.where for finding in judge(dataset, deep=True).findings] == ["0/c/1/2/0/1"]
    array(lambda a: a.update(codecs=[{"name": "bytes"}, {"name": "made up"}]))(dataset)
    assert "zarr opens every level" in [finding.rule for finding in judge(dataset, deep=True).findings]


def test_a_wrong_dataset_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from omezarr_proc.ngff import attributes as ngff

    whole = ngff.omero

    def without_window(*arguments: Any) -> dict[str, Any]:
        block = whole(*arguments)
        del block["channels"][0]["window"]
        return block

    source = made("stack").with_name("a.ome.tif")
    monkeypatch.setattr(ngff, "omero", without_window)
    assert cli.main([str(source), "--output-dir", str(tmp_path), "--quiet"]) == 73
    assert "channels[0].window" in capsys.readouterr().err
    assert not (tmp_path / "a.ome.zarr").exists()
    monkeypatch.undo()
    assert cli.main([str(source), "--output-dir", str(tmp_path), "--quiet"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_refuse_wrong_names_the_place(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "rgb")
    refuse_wrong(dataset)
    root(lambda a: a["ome"].update(version="0.4"))(dataset)
    with pytest.raises(OutputError, match=r"ome\.version"):
        refuse_wrong(dataset)


JUNK = st.sampled_from([None, True, 0, -1, 1e400, "", "x", "0", [], {}, [None], [[]], [{}], {"a": []}, ["c", "y"], "é" * 9])


def _paths(value: Any) -> list[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, entry in entries for rest in _paths(entry))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_the_metadata_there_is_a_verdict(tmp_path: Path, data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([2, 3]))
    source = made("stack", version)
    name = data.draw(st.sampled_from(["zarr.json", "1/zarr.json"] if version == 3 else [".zattrs", "1/.zarray"]))
    content = copy.deepcopy(json.loads((source / name).read_text()))
    path = data.draw(st.sampled_from([path for path in _paths(content) if path]))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = data.draw(JUNK)
    dataset = tmp_path / "a.ome.zarr"
    shutil.rmtree(dataset, ignore_errors=True)
    for file in (*source.glob("*.json"), *source.glob(".z*"), *source.glob("*/*.json"), *source.glob("*/.z*")):
        copied_to = dataset / file.relative_to(source)
        copied_to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copied_to)
    (dataset / name).write_text(json.dumps(content))
    for finding in (verdict := judge(dataset)).findings:
        assert finding.text.isprintable()
    assert list(validate.lines(verdict))
    assert list(info.lines(info.describe(dataset)))
    if verdict.valid and not verdict.findings:
        assert check(open_dataset(dataset)) == []


@pytest.mark.parametrize("method", [[], {}, 3])
def test_a_method_that_is_no_text_is_a_finding(tmp_path: Path, method: object) -> None:
    dataset = copied(tmp_path, "stack")
    flat(lambda a: a["multiscales"][0].update(type=method))(dataset)
    assert any("levels are not compared" in finding.text for finding in judge(dataset, deep=True).findings)


def _index(shard: Path, edit: Callable[[np.ndarray], object]) -> None:
    """Change the index of a shard of 3 x 3 chunks, and its checksum with it."""
    data = shard.read_bytes()
    index = np.frombuffer(data[-148:-4], "<u8").reshape(9, 2).copy()
    edit(index)
    changed = index.tobytes()
    shard.write_bytes(data[:-148] + changed + google_crc32c.value(changed).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-1]), "the index of the shard is damaged"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-9] + b"x" + shard.read_bytes()[-8:]), "the index of the shard is damaged"),
        (lambda shard: _index(shard, lambda index: None), None),
        (lambda shard: _index(shard, lambda index: index.__setitem__([0, 1], index[[1, 0]])), "do not follow each other in C order"),
        (lambda shard: _index(shard, lambda index: index.__setitem__((8, 1), index[8, 1] + 1)), "beyond its end"),
        (lambda shard: _index(shard, lambda index: index.__setitem__((1, 0), index[1, 0] - 1)), "overlap"),
        (lambda shard: _index(shard, lambda index: index.__setitem__(4, 2**64 - 1)), "lacks 1 of 9 chunks"),
        (lambda shard: shard.write_bytes(b"x" * 40 + shard.read_bytes()[40:]), "cannot be decoded"),
    ],
)
def test_damage_in_a_shard_of_ours_is_told(tmp_path: Path, damage: Callable[[Path], object], told: str | None) -> None:
    dataset = copied(tmp_path, "stack", 3, "--sharding", "on", "--initial-downsample", "1")
    assert judge(dataset, deep=True).findings == judge(dataset).findings == ()
    shard = dataset / "0/c/1/2/0/0"
    damage(shard)
    deep, quick = judge(dataset, deep=True).findings, judge(dataset).findings
    assert bool(deep) == (told is not None)
    if told:
        assert [finding.where for finding in deep] == ["0/c/1/2/0/0"] and told in deep[0].text
        assert [finding.where for finding in quick] == ([] if told == "cannot be decoded" else ["0/c/1/2/0/0"])


def by_others(folder: Path, names: str, shapes: list[tuple[int, ...]], chunks: tuple[int, ...]) -> Path:
    """What other programs write: NGFF 0.5 alone, without omero."""
    group = zarr.create_group(folder, zarr_format=3)
    for level, shape in enumerate(shapes):
        group.create_array(str(level), shape=shape, chunks=chunks, dtype="uint16", dimension_names=names)[...] = level + 1
    types = {"T": "time", "C": "channel"}
    axes = [{"name": name, "type": types.get(name.upper(), "space")} for name in names]
    levels = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1] * (len(names) - 2) + [1 << level] * 2}]}
        for level in range(len(shapes))
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return folder


def test_axes_may_have_other_names(tmp_path: Path) -> None:
    """iohub writes T, C, Z, Y and X."""
    verdict = judge(by_others(tmp_path / "a.zarr", "TCZYX", [(1, 2, 4, 60, 80), (1, 2, 4, 30, 40)], (1, 1, 4, 60, 80)), deep=True)
    texts = [finding.text for finding in verdict.findings]
    assert verdict.valid
    assert any("0: chunks of 60 x 80" in text for text in texts)
    assert not any("None x None" in text for text in texts)
    assert any("no NGFF 0.4 metadata beside ome" in text for text in texts)


def test_nothing_is_said_of_comparing_one_level(tmp_path: Path) -> None:
    verdict = judge(by_others(tmp_path / "a.zarr", "yx", [(60, 80)], (64, 64)), deep=True)
    assert verdict.valid
    assert not any("compared" in finding.text for finding in verdict.findings)
