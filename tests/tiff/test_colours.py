"""Colours by an ICC profile: kept beside the pixels as they are, or converted to sRGB as Pillow's ImageCms does it."""

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from conversion import convert, digest, levels
from icc import inks, wide_rgb

from omezarr_proc import cli
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Rect
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.read.colours import ToSrgb
from omezarr_proc.tiff.read.reader import Reader

# By Pillow 12 with littleCMS 2.19, relative colorimetric with black point compensation.
BY_PILLOW = {
    (0, 0, 0): (0, 0, 0),
    (255, 255, 255): (255, 255, 255),
    (128, 128, 128): (129, 129, 129),
    (200, 30, 60): (233, 24, 58),
    (10, 220, 90): (0, 221, 77),
    (40, 80, 250): (0, 79, 254),
    (255, 255, 0): (255, 255, 0),
    (0, 0, 0, 0): (255, 255, 255),
    (255, 255, 255, 255): (53, 0, 0),
    (128, 128, 128, 128): (132, 91, 68),
    (200, 30, 60, 0): (89, 172, 186),
    (10, 220, 90, 40): (222, 74, 84),
    (40, 80, 250, 128): (147, 96, 0),
    (255, 255, 0, 0): (72, 42, 129),
}
PROFILES = {3: wide_rgb(), 4: inks()}


def to_srgb(samples: int) -> ToSrgb:
    return ToSrgb(PROFILES[samples], samples, "RGB" if samples == 3 else "CMYK")


def pixels(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("samples", PROFILES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_are_those_of_imagecms(samples: int, dtype: str) -> None:
    wide = 1 if dtype == "uint8" else 257
    known = {colour: wanted for colour, wanted in BY_PILLOW.items() if len(colour) == samples}
    found = to_srgb(samples)((np.array([list(known)]) * wide).astype(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found[0] / wide, list(known.values()), rtol=0, atol=1)


@pytest.mark.parametrize("samples", PROFILES)
def test_any_colours_are_those_of_imagecms(samples: int) -> None:
    cms, image = pytest.importorskip("PIL.ImageCms"), pytest.importorskip("PIL.Image")
    source, mode = pixels((128, 128, samples)), {3: "RGB", 4: "CMYK"}[samples]
    profile, srgb = cms.ImageCmsProfile(io.BytesIO(PROFILES[samples])), cms.createProfile("sRGB")
    flags = cms.Flags.BLACKPOINTCOMPENSATION
    transform = cms.buildTransform(profile, srgb, mode, "RGB", renderingIntent=cms.Intent.RELATIVE_COLORIMETRIC, flags=flags)
    wanted = np.asarray(cms.applyTransform(image.fromarray(source, mode), transform)).astype(float)
    np.testing.assert_allclose(to_srgb(samples)(source), wanted, rtol=0, atol=1)
    np.testing.assert_allclose(to_srgb(samples)(source.astype("uint16") * 257) / 257, wanted, rtol=0, atol=1)


def test_alpha_stays() -> None:
    source = pixels((20, 30, 4))
    found = ToSrgb(wide_rgb(), 4)(source)
    np.testing.assert_array_equal(found[..., 3], source[..., 3])
    np.testing.assert_array_equal(found[..., :3], ToSrgb(wide_rgb(), 3)(source[..., :3]))


RGB: dict[str, Any] = {"photometric": "rgb", "iccprofile": wide_rgb()}
CMYK: dict[str, Any] = {"photometric": "separated", "iccprofile": inks()}
FILES: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "raw": ((150, 170, 3), "uint8", RGB),
    "raw-tiles": ((150, 170, 3), "uint16", {**RGB, "tile": (48, 80), "byteorder": ">"}),
    "tiles": ((150, 170, 3), "uint8", {**RGB, "tile": (64, 64), "compression": "zlib"}),
    "strips": ((150, 170, 3), "uint16", {**RGB, "rowsperstrip": 7, "compression": "lzw"}),
    "alpha": ((150, 170, 4), "uint8", {**RGB, "extrasamples": ["unassalpha"], "compression": "zlib"}),
    "cmyk": ((150, 170, 4), "uint8", CMYK),
    "cmyk-strips": ((150, 170, 4), "uint8", {**CMYK, "rowsperstrip": 20, "compression": "zlib"}),
}


def write(path: Path, name: str) -> np.ndarray:
    shape, dtype, options = FILES[name]
    tifffile.imwrite(path, pixels(shape, dtype), metadata=None, **options)
    return pixels(shape, dtype)


def in_srgb(source: np.ndarray, name: str) -> np.ndarray:
    """[c, y, x]."""
    return np.moveaxis((ToSrgb(wide_rgb(), 4) if name == "alpha" else to_srgb(source.shape[2]))(source), 2, 0)


@pytest.mark.parametrize("access", ["rows", "segment", "stream", "spool"])
@pytest.mark.parametrize("name", ["tiles", "strips", "raw", "cmyk-strips", "cmyk"])
def test_every_way_to_read_converts(tmp_path: Path, name: str, access: str) -> None:
    source = write(tmp_path / "a.tif", name)
    (image,) = open_images(str(tmp_path / "a.tif"), to_srgb=True)
    (layout,), (plane,) = image.layouts, image.planes
    assert plane is not None and layout.profile and image.rgb and image.size_c == 3
    if (access == "rows" and not layout.raw) or (access == "stream" and not layout.stream):
        return  # there is no such way to read it
    reader, found = Reader(image), np.zeros((150, 170, 3), layout.dtype)
    rect = Rect(0, 150, 0, 170) if access == "spool" else Rect(10, 140, 30, 170)
    if access == "spool":
        with open(tmp_path / "spool", "w+b") as file:
            reader.spool(plane, file.fileno(), 64)
            blocks = [(y, x, block.copy()) for y, x, block in reader.read_spooled(plane, rect, file.fileno(), 64)]
    else:
        blocks = [(y, x, block.copy()) for y, x, block in reader.read(plane, rect, access)]
    for y, x, block in blocks:
        found[y : y + block.shape[0], x : x + block.shape[1]] = block
    wanted = np.zeros_like(found)
    here = slice(rect.y0, rect.y1), slice(rect.x0, rect.x1)
    wanted[here] = np.moveaxis(in_srgb(source, name), 0, 2)[here]
    np.testing.assert_array_equal(found, wanted)
    reader.close()


def test_pixels_are_converted_before_they_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = {name: write(tmp_path / f"{name}.tif", name) for name in FILES}
    flags = ("--color", "srgb", "--initial-downsample", "2", "--tile-size", "64", "--min-dimension", "64")
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), "--quiet", *flags]) == 0
    for name, source in sources.items():
        dataset = tmp_path / "out" / f"{name}.ome.zarr"
        full = in_srgb(source, name).astype(np.uint32)
        sums = full[:, ::2, ::2] + full[:, 1::2, ::2] + full[:, ::2, 1::2] + full[:, 1::2, 1::2]
        found = levels(dataset)[0]
        np.testing.assert_allclose(found, sums / 4, rtol=0, atol=0.5)
        attributes = json.loads((dataset / "zarr.json").read_text())["attributes"]
        assert attributes["omezarr_proc"]["color"] == {"space": "sRGB"}
        assert "converted to sRGB" in attributes["omezarr_proc"]["notes"][0]
        assert not (dataset / "OME" / "profile.icc").exists()
    assert cli.main(["validate", "--deep", *(str(tmp_path / "out" / f"{name}.ome.zarr") for name in FILES)]) == 0


def test_a_profile_is_kept_and_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "tiles")
    tifffile.imwrite(tmp_path / "b.tif", source, metadata=None, photometric="rgb", tile=(64, 64), compression="zlib")
    for name in "ab":
        assert convert(tmp_path / f"{name}.tif", tmp_path, "--initial-downsample", "1") == 0
    with_profile, without = digest(tmp_path / "a.ome.zarr"), digest(tmp_path / "b.ome.zarr")
    assert with_profile.keys() - without.keys() == {"OME/profile.icc"}
    assert {name for name in without if with_profile[name] != without[name]} == {"zarr.json"}
    assert (tmp_path / "a.ome.zarr" / "OME" / "profile.icc").read_bytes() == wide_rgb()
    own = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["omezarr_proc"]
    assert own["color"] == {"profile": "OME/profile.icc"}
    assert own["notes"] == ["its ICC profile is kept as OME/profile.icc, and not used; COLOR=srgb converts its colours"]
    assert cli.main(["validate", "--deep", str(tmp_path / "a.ome.zarr")]) == 0


def test_another_color_is_another_dataset_only_where_there_is_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "a.tif", "tiles")
    tifffile.imwrite(tmp_path / "b.tif", source, metadata=None, photometric="rgb")
    tifffile.imwrite(tmp_path / "c.tif", source[..., 0], metadata=None, photometric="minisblack", iccprofile=wide_rgb())
    for flags in ((), ("--color", "srgb"), ("--color", "srgb")):
        assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), *flags]) == 0
        said = capsys.readouterr().err
        assert ("b.ome.zarr is there already" in said) == bool(flags)
    assert "a.ome.zarr is there already" in said
    assert (tmp_path / "out" / "c.ome.zarr" / "OME" / "profile.icc").exists()  # of greys nothing is converted
    np.testing.assert_array_equal(levels(tmp_path / "out" / "b.ome.zarr")[0].shape, (3, 75, 85))


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "said"),
    [
        ((40, 50, 4), "uint8", {"photometric": "separated"}, "colours as CMYK"),
        ((40, 50, 4), "uint8", {"photometric": "separated", "iccprofile": wide_rgb()}, "it is for RGB, and pixels are 4 samples of CMYK"),
        ((40, 50, 3), "uint8", {"photometric": "rgb", "iccprofile": inks()}, "it is for CMYK"),
        ((40, 50, 3), "float32", RGB, "colours of float32 with a profile"),
        ((3, 40, 50), "uint8", {**RGB, "planarconfig": "separate"}, "stored apart"),
        ((40, 50, 3), "uint8", {**RGB, "iccprofile": wide_rgb()[:300]}, "a profile that cannot be used"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, options: dict[str, Any], said: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, dtype), metadata=None, **options)
    with pytest.raises(ProcError, match=said):
        open_images(str(tmp_path / "a.tif"), to_srgb=True)
    if options["photometric"] == "rgb":
        assert open_images(str(tmp_path / "a.tif"))[0].profile == options["iccprofile"]
    else:
        with pytest.raises(ProcError, match="colours as CMYK; convert it to RGB, or set COLOR=srgb where it has an ICC profile"):
            open_images(str(tmp_path / "a.tif"))


def test_what_is_no_profile_is_left_out(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50, 3), "uint8"), metadata=None, photometric="rgb", iccprofile=bytes(200))
    for to_srgb in (False, True):
        (image,) = open_images(str(tmp_path / "a.tif"), to_srgb=to_srgb)
        assert image.profile is None and not image.in_srgb and image.notes == ()


def test_pages_with_other_profiles_are_converted_by_their_own(tmp_path: Path) -> None:
    source, other = pixels((2, 30, 40, 3)), bytes(imagecodecs.cms_profile("srgb"))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page, profile in zip(source, (wide_rgb(), other), strict=True):
            file.write(page, photometric="rgb", metadata=None, iccprofile=profile, compression="zlib")
    (image,) = open_images(str(tmp_path / "a.tif"), to_srgb=True)
    assert len({layout.profile for layout in image.layouts}) == 2
    assert convert(tmp_path / "a.tif", tmp_path, "--initial-downsample", "1", "--color", "srgb") == 0
    found = levels(tmp_path / "a.ome.zarr")[0]
    for t, profile in enumerate((wide_rgb(), other)):
        np.testing.assert_array_equal(np.moveaxis(found[t], 0, 2), ToSrgb(profile, 3)(source[t]))
