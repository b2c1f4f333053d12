"""Files that are one image by their names: what is joined, where each lies, and what is wrong with them."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import convert, levels, random_pixels

from omezarr_proc import cli
from omezarr_proc.app.sequence import matched, name_of, proposals
from omezarr_proc.config.rules import is_template

FULL = ("--initial-downsample", "1")


@pytest.mark.parametrize("text", ["img_z{z}_c{c}.tif", "{z}.tif", "a{t}b{c}d{z}", "s.{c}.ome.tif"])
def test_templates(text: str) -> None:
    assert is_template(text)


@pytest.mark.parametrize("text", ["", "img.tif", "{z}{c}.tif", "{z}_{z}.tif", "{x}.tif", "a{z.tif", "d/{z}.tif", "{z}\\b", "{Z}.tif"])
def test_no_templates(text: str) -> None:
    assert not is_template(text)


def test_names_are_matched_whole() -> None:
    assert matched("img_z{z}_c{c}.tif", "img_z012_cDAPI.tif") == {"z": "012", "c": "DAPI"}
    assert matched("a+{z}.tif", "a+3.tif") == {"z": "3"}
    assert [matched("img_z{z}.tif", name) for name in ("img_z.tif", "img_zx.tif", "img_z1.tiff", "1img_z1.tif", "img_z1xtif")] == [None] * 5


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("img_z{z}_c{c}.tif", "img.tif"),
        ("img{z}.ome.tif", "img.ome.tif"),
        ("cells-T{t}-ch{c}-Z{z}.tif", "cells.tif"),
        ("img_z{z}_done.tif", "img_done.tif"),
        ("{z}.tif", "sequence.tif"),
        ("z{z}.tif", "sequence.tif"),
        ("topz{z}.tif", "topz.tif"),
    ],
)
def test_names_of_datasets(template: str, name: str) -> None:
    assert name_of(template) == name


def test_proposals() -> None:
    names = ["a_z1_c0.tif", "a_z2_c0.tif", "a_z1_c1.tif", "b_t01.tif", "b_t02.tif", "other.tif", "lonely_z1.tif", "x_ch1.tif", "x_ch2.tif"]
    assert list(proposals(names)) == [("a_z{z}_c{c}.tif", 3), ("b_t{t}.tif", 2), ("x_ch{c}.tif", 2)]


def write(folder: Path, pixels: np.ndarray, name: str, **options: object) -> None:
    """`pixels[t, c, z, y, x(, s)]`, a file each."""
    for t, c, z in product(*map(range, pixels.shape[:3])):
        tifffile.imwrite(folder / name.format(t=t, c=c, z=z), pixels[t, c, z], **{"metadata": None, "photometric": "minisblack", **options})


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (32, 48)}], ids=["raw", "tiles"])
def test_files_become_one_image(tmp_path: Path, options: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    pixels = random_pixels((2, 3, 12, 70, 90), "uint16")
    write(tmp_path, pixels, "img_z{z:02}_c{c}_t{t}.tif", **options)
    tifffile.imwrite(tmp_path / "other.tif", pixels[0, 0, 0])
    flags = ("--sequence", "img_z{z}_c{c}_t{t}.tif", *FULL, "--z-downsample", "isotropic", "--tile-size", "64", "--min-dimension", "64")
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["img.ome.zarr", "other.ome.zarr"]
    found = levels(tmp_path / "out" / "img.ome.zarr")
    np.testing.assert_array_equal(found[0], pixels)
    assert found[1].shape == (2, 3, 6, 35, 45)
    attributes = json.loads((tmp_path / "out" / "img.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["ome"]["multiscales"][0]["name"] == "img"
    assert "72 files are joined as one image (SEQUENCE)" in capsys.readouterr().err
    assert cli.main(["validate", "--deep", str(tmp_path / "out" / "img.ome.zarr")]) == 0
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 0
    assert "img.ome.zarr is there already" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "img_z03_c1_t1.tif", pixels[0, 0, 0])  # one of them is another: all is made anew
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 0
    np.testing.assert_array_equal(levels(tmp_path / "out" / "img.ome.zarr")[0][1, 1, 3], pixels[0, 0, 0])


def test_channels_have_names_numbers_begin_anywhere_and_colours_stay(tmp_path: Path) -> None:
    pixels = random_pixels((1, 2, 2, 40, 50), "uint8")
    for c, z in product((0, 1), (0, 1)):
        tifffile.imwrite(tmp_path / f"s{z + 9}-{('GFP', 'DAPI')[c]}.tif", pixels[0, c, z], photometric="minisblack", metadata=None)
    files = sorted(map(str, tmp_path.glob("*.tif")))
    assert cli.main([*files, "--output-dir", str(tmp_path), "--quiet", "--sequence", "s{z}-{c}.tif", *FULL]) == 0
    np.testing.assert_array_equal(levels(tmp_path / "s.ome.zarr")[0], pixels[0, ::-1])
    attributes = json.loads((tmp_path / "s.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert [channel["label"] for channel in attributes["omero"]["channels"]] == ["DAPI", "GFP"]
    colours = random_pixels((2, 1, 1, 40, 50, 3), "uint8")
    write(tmp_path, colours, "rgb{t}.tif", photometric="rgb")
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path), "--quiet", "--sequence", "rgb{t}.tif", *FULL]) == 0
    np.testing.assert_array_equal(levels(tmp_path / "rgb.ome.zarr")[0], np.moveaxis(colours[:, 0, 0], -1, 1))


def test_stacks_are_joined_along_other_axes(tmp_path: Path) -> None:
    pixels = random_pixels((3, 2, 4, 30, 40), "uint16")
    for t in range(3):
        tifffile.imwrite(tmp_path / f"a_t{t}.tif", np.moveaxis(pixels[t], 1, 0), imagej=True, metadata={"axes": "ZCYX"})
    (tmp_path / "more").mkdir()
    for t in range(2):  # a sequence of its own
        tifffile.imwrite(tmp_path / "more" / f"a_t{t}.tif", pixels[0, 0, 0], metadata=None)
    flags = ("--sequence", "a_t{t}.tif", *FULL, "--quiet")
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 0
    np.testing.assert_array_equal(levels(tmp_path / "out" / "a.ome.zarr")[0], pixels)
    assert levels(tmp_path / "out" / "more" / "a.ome.zarr")[0].shape[0] == 2


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a_z1.tif", "a_z2.tif", "a_z4.tif"], "a_z1.tif: is of a sequence that lacks 1 of 4 files, the first is that of z=3"),
        (["a_z1.tif", "a_z01.tif"], "has the same place in the sequence as"),
        (["a_z1.tif", "a_z2.tif", "a_z3.tif!"], "a_z3.tif: is 20 x 10 uint8, and"),
        (["a_z1.tif", "a_z2.tif+"], "a_z2.tif: has 2 images, and the files of a sequence have one each"),
        (["a_z1.tif", "a_z2.tif?"], "a_z2.tif: is empty"),
    ],
)
def test_what_is_wrong_names_the_file(tmp_path: Path, names: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in names:
        path = tmp_path / name.rstrip("!+?")
        tifffile.imwrite(path, np.zeros((10, 20) if "!" in name else (30, 40), "uint8"), metadata=None)
        if "+" in name:
            tifffile.imwrite(path, np.zeros((33, 44, 3), "uint8"), append=True, metadata=None, photometric="rgb")
        if "?" in name:
            path.write_bytes(b"")
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((30, 40), "uint8"))
    flags = ("--sequence", "a_z{z}.tif", *FULL)
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "out" / "other.ome.zarr").exists() and not (tmp_path / "out" / "a.ome.zarr").exists()


def test_holes_are_filled_where_that_is_asked_for(tmp_path: Path) -> None:
    pixels = random_pixels((1, 1, 4, 30, 40), "uint8")
    write(tmp_path, pixels, "a_z{z}.tif")
    (tmp_path / "a_z2.tif").unlink()
    flags = (
        "--input-dir",
        str(tmp_path),
        "--output-dir",
        str(tmp_path),
        "--quiet",
        "--sequence",
        "a_z{z}.tif",
        "--on-missing",
        "fill",
        *FULL,
    )
    assert cli.main([*flags]) == 0
    pixels[0, 0, 2] = 0
    np.testing.assert_array_equal(levels(tmp_path / "a.ome.zarr")[0][0], pixels[0, 0])


def test_auto_only_proposes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, random_pixels((1, 2, 2, 30, 40), "uint8"), "a_z{z}_c{c}.tif")
    flags = ("--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), "--sequence", "auto")
    assert cli.main([*flags, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"SEQUENCE=a_z{{z}}_c{{c}}.tif would join 4 files of {tmp_path}" in text and text.count(" -> ") == 4
    assert cli.main([*flags, "--quiet"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_nothing_of_that_name_and_no_template_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40), "uint8"))
    assert convert(tmp_path / "a.tif", tmp_path, "--sequence", "b_z{z}.tif") == 2
    assert "no input is named like --sequence=b_z{z}.tif" in capsys.readouterr().err
    assert convert(tmp_path / "a.tif", tmp_path, "--sequence", "b_z*.tif") == 2
    assert "must be auto, or the name of a file with {t}, {c} or {z} in it, each once" in capsys.readouterr().err
