"""A dataset is held against its TIFF: what is right is identical, every change of it is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import tifffile
import zarr
from datasets import IMAGES, change, made, pixels
from icc import wide_rgb
from objectserver import object_server, store  # noqa: F401  # fixtures
from plates import write_plate

from omezarr_proc import cli

Edit = Callable[[Path], object]


def verify(*arguments: object) -> int:
    return cli.main(["verify", *map(str, arguments)])


def copied(tmp_path: Path, name: str, zarr_format: int = 3, *flags: str) -> Path:
    """A dataset with its source beside it, to be changed."""
    return Path(shutil.copytree(made(name, zarr_format, *flags).parent, tmp_path / "a")) / "a.ome.zarr"


@pytest.mark.parametrize(("name", "zarr_format"), [*((name, 3) for name in IMAGES), ("stack", 2)])
def test_what_was_converted_is_identical(name: str, zarr_format: int, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = made(name, zarr_format)
    assert verify(dataset) == 0
    pixels = zarr.open_array(dataset / "0", mode="r").size
    assert capsys.readouterr().out.startswith(f"{dataset}: identical, {pixels} pixels compared with {dataset.parent / 'a.ome.tif'}, ")


@pytest.mark.parametrize(("name", "flags"), [
    ("rgb", ("--initial-downsample", "1", "--channel-chunking", "per-channel", "--compression", "lz4")),
    ("rgb", ("--downsample-method", "max", "--ome-xml", "drop")),
    ("rgb", ("--sharding", "on", "--initial-downsample", "1")),
    ("stack", ("--sharding", "on", "--z-chunk", "2", "--initial-downsample", "1")),
    ("stack", ("--initial-downsample", "8", "--channel-chunking", "bundled", "--max-levels", "1")),
    ("stack", ("--z-downsample", "isotropic", "--z-chunk", "2", "--downsample-method", "mode")),
    ("float", ("--axes", "czyx", "--downsample-method", "nearest")),
])  # fmt: skip
def test_settings_are_read_from_the_dataset(name: str, flags: tuple[str, ...]) -> None:
    assert verify(made(name, 3, *flags)) == 0


@pytest.mark.parametrize("dtype", ["uint64", "float64", "float16"])
def test_wider_pixels_are_compared_as_they_are_stored(dtype: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 1000, (3, 90, 70)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet"]) == 0
    assert verify(tmp_path / "a.ome.zarr") == 0


@pytest.mark.parametrize("storage", [{"compression": "deflate", "rowsperstrip": 3000}, {"compression": "lzw", "rowsperstrip": 3000}])
def test_planes_that_are_decoded_whole(storage: dict[str, Any], tmp_path: Path) -> None:
    """Streamed by one worker, or through the spool file: in as little memory as a conversion takes."""
    pixels = np.random.default_rng(3).integers(0, 1000, (3, 900, 700), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **storage)
    flags = ("--tile-size", "64", "--min-dimension", "64", "--initial-downsample", "1", "--z-chunk", "2")
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", *flags]) == 0
    assert verify(tmp_path / "a.ome.zarr") == 0


def pixel(path: str, index: tuple[int, ...]) -> Edit:
    def edit(dataset: Path) -> None:
        level = zarr.open_array(dataset / path, mode="r+")
        level[index] = level[index] ^ 1

    return edit


def swapped(a: str, b: str) -> Edit:
    def edit(dataset: Path) -> None:
        one, other = (dataset / a).read_bytes(), (dataset / b).read_bytes()
        (dataset / a).write_bytes(other)
        (dataset / b).write_bytes(one)

    return edit


def shifted(path: str, axis: int) -> Edit:
    def edit(dataset: Path) -> None:
        level = zarr.open_array(dataset / path, mode="r+")
        level[...] = np.roll(level[...], 1, axis)

    return edit


def forms(edit: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda dataset: change(
        dataset / "zarr.json", lambda found: [edit(form) for form in (found["attributes"], found["attributes"]["ome"])]
    )


def transformation(level: int, step: int, key: str, axis: int, by: float) -> Edit:
    def edit(form: dict[str, Any]) -> None:
        form["multiscales"][0]["datasets"][level]["coordinateTransformations"][step][key][axis] += by

    return forms(edit)


def another_depth(dataset: Path) -> None:
    level = zarr.open_array(dataset / "0", mode="r+")
    level[1, 2] = level[1, 1]


MUTATIONS: dict[str, tuple[Edit, str]] = {
    "one pixel": (pixel("0", (1, 2, 70, 65)), "1 pixel differs, the first at t=0, c=1, z=2, y=70, x=65: "),
    "one pixel of the next level": (pixel("1", (0, 1, 37, 32)), "level 1 is not the exact mean of level 0: 1 pixel differs, "),
    "a chunk swapped with its neighbour": (swapped("0/c/0/1/0/0", "0/c/0/1/1/0"), "the first at t=0, c=0, z=1, y=0, x=0"),
    "a chunk swapped with another channel": (swapped("1/c/0/1/0/0", "1/c/1/1/0/0"), "level 1 is not the exact mean of level 0"),
    "a level shifted by one": (shifted("1", 3), "level 1 is not the exact mean of level 0"),
    "the base level shifted by one": (shifted("0", 2), "level 0 has not the pixels of "),
    "a plane of another z": (another_depth, "the first at t=0, c=1, z=2, y=0, x=0"),
    "a scale": (transformation(0, 0, "scale", 3, 0.325), "coordinateTransformations.0.scale.3 is "),
    "half a pixel": (transformation(1, 1, "translation", 2, 0.1625), "datasets.1.coordinateTransformations.1.translation.2 is "),
    "a name": (forms(lambda form: form["omero"]["channels"][1].update(label="b")), "omero.channels.1.label is 'b', the source gives"),
    "a colour": (forms(lambda form: form["omero"]["channels"][0].update(color="123456")), "omero.channels.0.color is '123456'"),
    "a window": (forms(lambda form: form["omero"]["channels"][0]["window"].update(start=1.0)), "omero.channels.0.window.start is 1.0"),
    "a unit": (forms(lambda form: form["multiscales"][0]["axes"][3].update(unit="meter")), "axes.3.unit is 'meter', the source gives "),
    "a note": (lambda dataset: change(dataset / "zarr.json", lambda found: found["attributes"]["omezarr_proc"].update(notes=["a"])),
               "omezarr_proc.notes is ['a'], the source gives []"),
    "a missing chunk": (lambda dataset: (dataset / "0/c/0/1/0/0").unlink(), "z=1, y=0, x=0: a chunk is missing"),
    "a broken chunk": (lambda dataset: (dataset / "1/c/0/1/0/0").write_bytes(b"a"), "level 1 is not the exact mean of level 0: "),
    "OME-XML": (lambda dataset: (dataset / "OME/METADATA.ome.xml").write_text("<OME/>"), "ome.xml is not the OME-XML of the source"),
    "fewer levels": (lambda dataset: shutil.rmtree(dataset / "1"), "1: zarr.json is not there"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_is_found(mutation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    edit, text = MUTATIONS[mutation]
    edit(dataset)
    assert verify(dataset) == 1
    told = capsys.readouterr().out
    assert text in told
    assert "identical" not in told


def test_a_changed_source_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "float")
    source = dataset.with_name("a.ome.tif")
    pixels = tifffile.imread(source)
    pixels[100, 60] += 1
    tifffile.imwrite(source, pixels, photometric="minisblack")
    assert verify(dataset) == 1
    assert "1 pixel differs, the first at t=0, c=0, z=0, y=50, x=30: " in capsys.readouterr().out
    tifffile.imwrite(source, pixels[:100])
    assert verify(dataset) == 1
    assert "level 0 has not the pixels of" in (told := capsys.readouterr().out)
    assert "y 130, x 65, the source gives y 50, x 65" in told
    source.unlink()
    assert verify(dataset) == 1
    assert "name it with --source" in capsys.readouterr().out
    assert verify(dataset, "--source", tmp_path / "none.tif") == 1
    assert "none.tif: cannot be read" in capsys.readouterr().out


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack")
    pixel("0", (1, 2, 70, 65))(dataset)
    assert verify(dataset, made("rgb"), "--json") == 1
    wrong, right = json.loads(capsys.readouterr().out)["datasets"]
    assert (wrong["identical"], right["identical"]) == (False, True)
    assert wrong["base"]["difference"]["count"] == 1
    assert wrong["base"]["difference"]["place"] == [0, 1, 2, 70, 65]
    assert [level["exact"] for level in right["levels"]] == [True, True]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("exact", [True, False])
def test_of_a_dataset_by_others_it_is_told_which_levels_are_exact(
    exact: bool, zarr_format: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zstd, chunks of 100 x 50 pixels, no channel axis, empty chunks left out."""
    pixels = np.random.default_rng(1).integers(0, 9000, (2, 150, 131), "uint16")
    pixels[:, :100, :50] = 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata={"axes": "ZYX"}, photometric="minisblack", ome=True)
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, 1)), "edge").astype("float64")
    smaller = np.rint(padded.reshape(2, 75, 2, 66, 2).mean((2, 4))).astype("uint16")  # edge: the mean of what there is
    group = zarr.create_group(tmp_path / "b.zarr", zarr_format=zarr_format)  # type: ignore[arg-type]
    for path, data in (("s0", pixels), ("s1", smaller if exact else pixels[:, ::2, 1::2])):
        names = {"dimension_names": ("z", "y", "x")} if zarr_format == 3 else {}
        keys = {"name": "v2" if zarr_format == 2 else "default", "separator": "/"}
        array = group.create_array(path, shape=data.shape, chunks=(1, 100, 50), dtype="uint16", chunk_key_encoding=keys, **names)
        array[...] = data
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    levels = [{"path": f"s{n}", "coordinateTransformations": [{"type": "scale", "scale": [1, f, f]}]} for n, f in ((0, 1), (1, 2))]
    multiscale = {"axes": axes, "datasets": levels}
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    assert verify(tmp_path / "b.zarr", "--source", tmp_path / "a.tif") == 0
    told = capsys.readouterr().out
    assert "level 0 is identical, 39300 pixels compared with" in told
    assert ("level s1 is the exact mean of level s0" in told) == exact
    assert ("note: level s1 is not the exact mean of level s0" in told) != exact
    changed = zarr.open_array(tmp_path / "b.zarr/s0", mode="r+")
    changed[1, 149, 130] += 1
    assert verify(tmp_path / "b.zarr", "--source", tmp_path / "a.tif") == 1
    assert "1 pixel differs, the first at t=0, c=0, z=1, y=149, x=130: " in capsys.readouterr().out
    assert verify(tmp_path / "b.zarr") == 1


def test_which_image_of_a_file_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for number in range(2):
            tiff.write(np.full((80, 70), number, "uint8"), photometric="minisblack", metadata={"axes": "YX"})
    assert cli.main([str(tmp_path / "a.ome.tif"), "--output-dir", str(tmp_path), "--quiet"]) == 0
    second = tmp_path / "a.series1.ome.zarr"
    assert verify(tmp_path / "a.ome.zarr", second) == 0
    moved = second.rename(tmp_path / "moved")
    assert verify(moved, "--source", tmp_path / "a.ome.tif", "--image", "1") == 0
    assert verify(moved, "--source", tmp_path / "a.ome.tif", "--image", "0") == 1
    assert verify(moved, "--source", tmp_path / "a.ome.tif", "--image", "7") == 1
    assert "IMAGES asks for image 7, but" in capsys.readouterr().out


def test_of_a_plate_every_field_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plate(tmp_path / "a.ome.tif", [(2, 11, 2), (0, 1, 1)])
    assert cli.main([str(tmp_path / "a.ome.tif"), "--output-dir", str(tmp_path), "--initial-downsample", "1", "--quiet"]) == 0
    dataset = tmp_path / "a.ome.zarr"
    assert verify(dataset) == 0
    fields = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert fields == [f"{dataset}/{field}" for field in ("A/2/0", "C/12/0", "C/12/1")]
    swapped("C/12/0/0/c/1/0/0", "C/12/1/0/c/1/0/0")(dataset)
    assert verify(dataset) == 1
    assert capsys.readouterr().out.count("the first at t=0, c=1, z=0, y=0, x=0") == 2


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_what_is_not_what_the_input_gives_is_not_published(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--output-dir", str(tmp_path / "out"), "--quiet", "--verify", "--output-layout", layout)
    sources = made("stack").with_name("a.ome.tif")
    damage = pixel("0", (1, 2, 70, 65))
    monkeypatch.setattr("omezarr_proc.check.verdict.refuse_wrong", lambda place: damage(Path(place)))
    assert cli.main([str(sources), *flags]) == 73
    assert "what is stored is not what the input gives (VERIFY=1): level 0: 1 pixel differs" in capsys.readouterr().err
    assert list((tmp_path / "out").glob("[!.]*")) == []
    monkeypatch.undo()
    assert cli.main([str(sources), *flags]) == 0
    assert verify(tmp_path / "out" / ("" if layout == "root" else "a.ome.zarr"), "--source", sources) == 0


@pytest.mark.parametrize("flags", [
    ("--region", "3,5,101,97", "--channels", "1", "--z", "0-1", "--initial-downsample", "4"),
    pytest.param(("--z", "1-2"), marks=pytest.mark.slow),
    pytest.param(("--region", "0,0,131,150", "--channels", "0"), marks=pytest.mark.slow),
])  # fmt: skip
def test_which_part_of_an_image_it_is_of_is_read_from_the_dataset(
    flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = made("stack").with_name("a.ome.tif")
    assert cli.main([str(source), "--output-dir", str(tmp_path), "--verify", "--quiet", *flags]) == 0
    dataset = tmp_path / "a.ome.zarr"
    assert verify(dataset, "--source", source) == 0
    last = tuple(size - 1 for size in zarr.open_array(dataset / "0", mode="r").shape)
    pixel("0", last)(dataset)
    assert verify(dataset, "--source", source) == 1
    own = {"notes": []}
    change(dataset / "zarr.json", lambda found: found["attributes"]["omezarr_proc"].update(own))
    assert verify(dataset, "--source", source) == 1
    assert "the note that says of which part is missing" in capsys.readouterr().out


def test_colours_that_were_converted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels("rgb"), photometric="rgb", iccprofile=wide_rgb())
    for color in ("srgb", "keep"):
        assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--color", color, "--quiet"]) == 0
        assert verify(tmp_path / "a.ome.zarr") == 0


def test_a_dataset_in_an_object_store(store: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811  # the fixture
    """Held against a source beside this machine, or in the store too."""
    source = made("rgb").with_name("a.ome.tif")
    flags = ("--initial-downsample", "1", "--sharding", "on", "--quiet")
    assert cli.main([str(source), "--output-dir", store.address, *flags, "--verify"]) == 0
    dataset = f"{store.address}/a.ome.zarr"
    assert verify(dataset, "--source", source) == 0
    assert "identical" in capsys.readouterr().out
    obstore.put(store.client, f"{store.prefix}/a.ome.tif", source.read_bytes())
    assert verify(dataset, "--source", f"{store.address}/a.ome.tif") == 0
    assert verify(dataset) == 0
    root = json.loads(obstore.get(store.client, f"{store.prefix}/a.ome.zarr/zarr.json").bytes().to_bytes())
    root["attributes"]["omero"]["channels"][0]["label"] = "x"
    obstore.put(store.client, f"{store.prefix}/a.ome.zarr/zarr.json", json.dumps(root).encode())
    obstore.delete(store.client, f"{store.prefix}/a.ome.zarr/1/c/0/0/0")
    assert verify(dataset, "--source", source) == 1
    told = capsys.readouterr().out
    assert "omero.channels.0.label is 'x'" in told
    assert "a chunk is missing" in told


def test_usage() -> None:
    assert verify() == 2
    assert verify("--help") == 0
    assert verify("a", "b", "--source", "c") == 2
