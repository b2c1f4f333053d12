"""Cuts of an image: every pixel of every level is that of a file that holds numpy's crop of the array, and each lies where it did."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conversion import levels, random_pixels
from engines import convert, slots_of
from loaded import load_settings

from omezarr_proc import cli
from omezarr_proc.check.verdict import judge
from omezarr_proc.config.reading import settings_of
from omezarr_proc.engine.base import Engine
from omezarr_proc.engine.local import nursery
from omezarr_proc.engine.local.engine import Local
from omezarr_proc.engine.serial import Serial
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Plane
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.read.segments import Segments

SIZES = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0, "TimeIncrement": 1.5}
STRIP = {"photometric": "minisblack", "compression": "deflate", "rowsperstrip": 260}

# How each is written, how it is read (None: as the plan has it), its settings, and the crop: region, channels, z, t.
Case = tuple[tuple[int, ...], str, str, dict[str, Any], str | None, dict[str, Any], Crop]
CASES: dict[str, Case] = {
    "tiles": ((3, 301, 403), "uint16", "CYX", {"photometric": "minisblack", "tile": (80, 80), "compression": "lzw"}, None, {},
              Crop(region=(37, 51, 301, 203), channels=(0, 2))),
    "tiles, aligned": ((301, 403), "uint8", "YX", {"tile": (80, 80)}, "segment", {}, Crop(region=(160, 80, 240, 160))),
    "strips": ((257, 330), "int16", "YX", {"rowsperstrip": 7, "compression": "deflate", "predictor": True}, None, {},
               Crop(region=(5, 3, 200, 254))),
    "raw": ((257, 330), "float32", "YX", {}, None, {"initial_downsample": 4}, Crop(region=(1, 2, 301, 255))),
    "spool": ((2, 260, 201), "uint16", "CYX", STRIP, "spool", {}, Crop(region=(33, 101, 150, 99), channels=(1,))),
    "stream": ((2, 260, 201), "uint16", "CYX", STRIP, "stream", {}, Crop(region=(33, 101, 150, 99))),
    "rgb": ((301, 203, 3), "uint8", "YXS", {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"}, None,
            {"initial_downsample": 1}, Crop(region=(3, 66, 190, 170))),
    "stack": ((3, 5, 2, 150, 131), "uint8", "TZCYX", {"photometric": "minisblack"}, None, {}, Crop(z=(1, 2, 3), t=(2,), channels=(1,))),
    "volume": ((9, 2, 150, 131), "uint16", "ZCYX", {"photometric": "minisblack"}, None, {"z_downsample": "isotropic", "z_chunk": 3},
               Crop(region=(9, 7, 111, 143), z=(2, 3, 4, 5, 6, 7, 8))),
    "volume, on boxes": ((9, 150, 131), "uint16", "ZYX", {"photometric": "minisblack"}, None, {"z_downsample": "isotropic", "z_chunk": 3},
                         Crop(region=(8, 6, 111, 141), z=(1, 2, 3, 4, 5, 6, 7, 8))),
    "nearest": ((257, 301), "uint16", "YX", {"rowsperstrip": 3}, None, {"downsample_method": "nearest", "initial_downsample": 4},
                Crop(region=(6, 5, 290, 222))),
}  # fmt: skip


@pytest.fixture(scope="module", params=["serial", "local"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with closing(Serial() if request.param == "serial" else Local(nursery.Nursery(may_fork=False))) as made:
        yield made


def taken(pixels: np.ndarray, axes: str, crop: Crop) -> np.ndarray:
    """numpy's crop."""
    for name, wanted in (("C", crop.channels), ("Z", crop.z), ("T", crop.t)):
        if wanted is not None:
            pixels = np.take(pixels, list(wanted), axis=axes.index(name))
    x, y, width, height = crop.region or (0, 0, pixels.shape[axes.index("X")], pixels.shape[axes.index("Y")])
    rows, columns = [slice(None)] * pixels.ndim, [slice(None)] * pixels.ndim
    rows[axes.index("Y")], columns[axes.index("X")] = slice(y, y + height), slice(x, x + width)
    return pixels[tuple(rows)][tuple(columns)]


def placed(dataset: Path) -> tuple[list[str], list[tuple[list[float], list[float]]]]:
    """The axes, and scale and translation of each level."""
    multiscale = json.loads((dataset / "zarr.json").read_text())["attributes"]["multiscales"][0]
    levels = [[step[step["type"]] for step in entry["coordinateTransformations"]] for entry in multiscale["datasets"]]
    return [axis["name"] for axis in multiscale["axes"]], [(scale, shift) for scale, shift in levels]


@pytest.mark.parametrize("name", CASES)
def test_a_crop_has_the_pixels_of_a_file_of_the_cut_where_they_were(tmp_path: Path, name: str, engine: Engine) -> None:
    shape, dtype, axes, options, access, settings, crop = CASES[name]
    pixels = random_pixels(shape, dtype)
    tifffile.imwrite(tmp_path / "all.ome.tif", pixels, ome=True, metadata={"axes": axes, **SIZES}, **options)
    photometric = {key: value for key, value in options.items() if key == "photometric"}
    part = taken(pixels, axes, crop)
    tifffile.imwrite(tmp_path / "part.ome.tif", part, ome=True, metadata={"axes": axes, **SIZES}, **photometric)
    (whole,), (expected,) = open_images(str(tmp_path / "all.ome.tif")), open_images(str(tmp_path / "part.ome.tif"))
    convert(expected, tmp_path / "oracle", engine, **settings)
    oracle = tmp_path / "oracle/a.ome.zarr"
    planner = slots_of(0, access=access)  # several bands, and several passes
    convert(crop.of(whole), tmp_path / "out", engine, planner, **settings)
    dataset = tmp_path / "out/a.ome.zarr"

    found, right = levels(dataset), levels(oracle)
    assert len(found) == len(right) > 1
    for level, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(level, other)
    if settings.get("initial_downsample") == 1:
        np.testing.assert_array_equal(np.moveaxis(found[0], 0, -1), part)
    names, steps = placed(dataset)
    assert names == placed(oracle)[0]
    x, y, *_ = crop.region or (0, 0)
    origin = {"t": 1.5 * (crop.t or [0])[0], "z": 2 * (crop.z or [0])[0], "y": 0.25 * y, "x": 0.325 * x}
    for (scale, shift), (of_part, from_zero) in zip(steps, placed(oracle)[1], strict=True):
        assert scale == of_part
        assert shift == pytest.approx([a + origin.get(axis, 0) for axis, a in zip(names, from_zero, strict=True)], rel=1e-12)
    verdict = judge(dataset, deep=True)
    assert verdict.valid and not verdict.findings
    assert not (dataset / "OME").exists()  # it would describe all of the image


def test_only_segments_that_the_cut_touches_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    segments = Segments.segments

    def noting(self: Segments, plane: Plane, indices: Any) -> Any:
        listed = list(indices)
        decoded.extend((plane.sample, index) for index in listed)
        return segments(self, plane, iter(listed))

    monkeypatch.setattr(Segments, "segments", noting)
    pixels = random_pixels((3, 640, 640), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64), compression="deflate", photometric="minisblack")
    (image,) = open_images(str(tmp_path / "a.tif"))
    crop = Crop(region=(130, 70, 100, 50), channels=(1,)) if image.size_c == 3 else Crop(region=(130, 70, 100, 50), z=(1,))
    with closing(Serial()) as engine:
        convert(crop.of(image), tmp_path / "out", engine)
    assert sorted(index for _, index in decoded) == [12, 13]


def test_by_flags_with_a_key_of_its_own_and_the_whole_with_the_one_it_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = random_pixels((4, 100, 120), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": "ZYX"})
    run = [str(tmp_path / "a.tif"), str(tmp_path / "out"), "--initial-downsample", "1", "--log-level", "INFO"]
    assert cli.main(run) == 0
    own = lambda: json.loads((tmp_path / "out/a.ome.zarr/zarr.json").read_text())["attributes"]["omezarr_proc"]  # noqa: E731
    whole = own()
    assert "origin" not in whole
    assert cli.main([*run, "--region", "10,20,90,70", "--z", "1-2"]) == 0
    assert "only columns 10 to 99, rows 20 to 89, channels 0, z 1-2, t 0" in capsys.readouterr().err
    np.testing.assert_array_equal(levels(tmp_path / "out/a.ome.zarr")[0][0], pixels[1:3, 20:90, 10:100])
    assert own()["origin"] == {"t": 0, "z": 1, "y": 20, "x": 10}
    assert own()["key"] != whole["key"]
    assert cli.main([*run, "--region", "0,0,120,100", "--z", "0-3"]) == 0
    assert own()["key"] == whole["key"]


def test_channels_keep_the_names_and_colours_that_they_have_in_the_whole(tmp_path: Path) -> None:
    """Also those of which the file says nothing, and a part of three planes that are red, green and blue together."""
    tifffile.imwrite(tmp_path / "grey.tif", random_pixels((4, 60, 50), "uint8"), photometric="minisblack", metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "rgb.tif", random_pixels((3, 60, 50), "uint8"), photometric="rgb", planarconfig="separate")

    def channels(name: str, *flags: str) -> list[tuple[str, str]]:
        run = [str(tmp_path / f"{name}.tif"), "--output-dir", str(tmp_path / "out"), "--initial-downsample", "1", *flags]
        assert cli.main(run) == 0
        omero = json.loads((tmp_path / f"out/{name}.ome.zarr/zarr.json").read_text())["attributes"]["ome"]["omero"]
        return [(channel["label"], channel["color"]) for channel in omero["channels"]]

    for name in "grey", "rgb":
        whole = channels(name)
        assert channels(name, "--channels", "1-2") == whole[1:3]
        assert channels(name, "--channels", "2") == whole[2:3]
        assert cli.main(["verify", str(tmp_path / f"out/{name}.ome.zarr"), "--source", str(tmp_path / f"{name}.tif")]) == 0


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        (Crop(region=(100, 0, 200, 100)), "has 203 x 301 pixels, and the region of 200 x 100 from x=100, y=0 on is not inside"),
        (Crop(channels=(1,)), r"stores its channels interleaved, 3 together, so \[1\] cannot be taken alone"),
        (Crop(z=(2, 3)), "has only z slice 0: z slices 2-3 are not there"),
        (Crop(channels=(1, 3)), "has 3 channels, 0 to 2: channel 3 is not there"),
        (Crop(t=(1,)), "has only time point 0: time point 1 is not there"),
    ],
)
def test_what_the_image_does_not_have_is_refused(tmp_path: Path, crop: Crop, words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels((301, 203, 3), "uint8"), photometric="rgb")
    (image,) = open_images(str(tmp_path / "a.tif"))
    with pytest.raises(UnsupportedInputError, match=words):
        crop.of(image)


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--region", "0,0,512"),
        ("--region", "0,0,0,5"),
        ("--z", "0,2"),
        ("--t", "3-1"),
        ("--channels", "a"),
        ("--channels", "0-99999999999"),
    ],
)
def test_wrong_crops_are_wrong_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path, flag: str, text: str) -> None:
    assert cli.main(["a.tif", str(tmp_path / "out"), flag, text]) == 2
    assert f"{flag}='{text}' must be" in capsys.readouterr().err


def test_settings_are_written_as_they_are_read() -> None:
    settings = load_settings(
        {"OUTPUT_DIR": "out", "CROP_CHANNELS": "5, 0-2", "CROP_Z": "7", "CROP_REGION": "1, 2,3,4"}, {}, files_named=True
    )
    public = settings.public()
    assert (public["CROP_CHANNELS"], public["CROP_Z"], public["CROP_T"], public["CROP_REGION"]) == ("0-2,5", "7", "", "1,2,3,4")
    assert settings_of({"crop_z": range(3, 6), "crop_region": (1, 2, 3, 4)}, output_dir=Path()).public()["CROP_Z"] == "3-5"
