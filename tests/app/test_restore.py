"""`restore`: the TIFF that comes back has the pixels of the first one, as tifffile and libvips read it, and becomes the same dataset."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conversion import convert, digest, levels, random_pixels
from plates import write_plate

from omezarr_proc import cli

SMALL = ("--initial-downsample", "1", "--tile-size", "64", "--min-dimension", "32")
SIZES = {"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
IMAGES: dict[str, tuple[tuple[int, ...], str, str, dict[str, Any], tuple[str, ...]]] = {
    "stack": ((2, 3, 2, 150, 131), "uint16", "TZCYX", {}, ()),
    "rgb": ((150, 131, 3), "uint8", "YXS", {"photometric": "rgb"}, ("--sharding", "on")),
    "volume": ((2, 37, 70, 90), "int16", "CZYX", {}, ("--z-chunk", "16", "--z-downsample", "isotropic")),
    "bundled": ((3, 130, 100), "float32", "CYX", {}, ("--channel-chunking", "bundled", "--tile-size", "64")),
}


def restore(*words: object) -> int:
    return cli.main(["restore", *map(str, words)])


def source_of(folder: Path, name: str) -> tuple[Path, np.ndarray]:
    shape, dtype, axes, options, _ = IMAGES[name]
    pixels = random_pixels(shape, dtype)
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(folder / "a.ome.tif", pixels, ome=True, metadata={"axes": axes, **SIZES}, **options)
    return folder / "a.ome.tif", pixels


def same_but_for_the_key(one: Path, other: Path, *, but: frozenset[str] = frozenset({"zarr.json"})) -> bool:
    files = [{key: value for key, value in digest(dataset).items() if key not in but} for dataset in (one, other)]
    attributes = [json.loads((dataset / "zarr.json").read_text())["attributes"] for dataset in (one, other)]
    for found in attributes:
        del found["omezarr_proc"]["key"]
    return files[0] == files[1] and attributes[0] == attributes[1]


@pytest.mark.parametrize("name", ["volume", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rgb", "stack", "bundled"))])
def test_the_tiff_comes_back_and_becomes_the_same_dataset(tmp_path: Path, name: str) -> None:
    source, pixels = source_of(tmp_path, name)
    flags = (*SMALL, *IMAGES[name][4])
    assert convert(source, tmp_path / "one", *flags) == 0
    dataset, back = tmp_path / "one/a.ome.zarr", tmp_path / "back/a.ome.tif"
    back.parent.mkdir()
    assert restore(dataset, back) == 0

    with tifffile.TiffFile(back) as tiff, tifffile.TiffFile(source) as first:
        assert tiff.is_ome and np.array_equal(tiff.series[0].asarray(squeeze=False).reshape(pixels.shape), pixels)
        assert tiff.pages[0].description == first.pages[0].description
        assert tiff.pages[0].is_tiled and tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        stored = [level for level in levels(dataset) if name != "volume" or level.shape[1] == pixels.shape[1]]
        assert len(tiff.pages[0].subifds or ()) == len(stored) - 1
        for number, level in enumerate(stored):
            plane = tiff.pages[0] if number == 0 else tiff.pages[0].pages[number - 1]  # type: ignore[index]
            expected = np.moveaxis(level, 0, 2) if name == "rgb" else level.reshape(-1, *level.shape[-2:])[0]
            assert np.array_equal(plane.asarray(), expected)
    assert cli.main(["verify", str(dataset), "--source", str(back)]) == 0
    assert convert(back, tmp_path / "two", *flags) == 0
    assert same_but_for_the_key(dataset, tmp_path / "two/a.ome.zarr")
    assert [path.name for path in back.parent.iterdir()] == ["a.ome.tif"]


@pytest.mark.skipif(not shutil.which("vips"), reason="needs libvips' tool")
def test_libvips_reads_all_levels(tmp_path: Path) -> None:
    source, pixels = source_of(tmp_path, "rgb")
    assert convert(source, tmp_path, *SMALL) == 0
    assert restore(tmp_path / "a.ome.zarr", tmp_path / "b.ome.tif", "--compression", "zstd") == 0
    for option, expected in (("", pixels), ("[subifd=0]", np.moveaxis(levels(tmp_path / "a.ome.zarr")[1], 0, 2))):
        subprocess.run(["vips", "copy", f"{tmp_path / 'b.ome.tif'}{option}", tmp_path / "c.tif"], check=True)
        assert np.array_equal(tifffile.imread(tmp_path / "c.tif"), expected)


def test_of_a_plain_tiff_the_metadata_say_what_the_dataset_says(tmp_path: Path) -> None:
    pixels = random_pixels((2, 3, 2, 70, 60), "uint16")
    options = {"spacing": 2.5, "unit": "um", "axes": "TZCYX", "finterval": 0.5}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, resolution=(4.0, 4.0), metadata=options)
    assert convert(tmp_path / "a.tif", tmp_path / "one", *SMALL) == 0
    assert restore(tmp_path / "one/a.ome.zarr", tmp_path / "a.ome.tif") == 0
    assert np.array_equal(np.swapaxes(tifffile.imread(tmp_path / "a.ome.tif"), 1, 2), pixels)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "two", *SMALL) == 0
    xml = frozenset({"zarr.json", "OME/METADATA.ome.xml"})
    assert same_but_for_the_key(tmp_path / "one/a.ome.zarr", tmp_path / "two/a.ome.zarr", but=xml)


def test_of_several_images_the_one_comes_back(tmp_path: Path) -> None:
    planes = [random_pixels((2, 70, 60), "uint8"), random_pixels((3, 90, 60), "uint16")]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for number, pixels in enumerate(planes):
            tiff.write(pixels, photometric="minisblack", metadata={"axes": "CYX", "Name": f"Scan {number} µ", **SIZES})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        text = tiff.pages[0].description
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.replace(' Name="Scan 1 µ"', "").encode())
    assert convert(tmp_path / "a.ome.tif", tmp_path / "one", *SMALL) == 0
    dataset = tmp_path / "one/a.series1.ome.zarr"
    assert restore(dataset, tmp_path / "b.ome.tif") == 0
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tiff:
        assert len(tiff.series) == 1 and np.array_equal(tiff.asarray(), planes[1])
        text = tiff.pages[0].description
        assert "Scan 0" not in text and 'Name="a.ome.tif"' in text and 'Unit="&#181;m"' in text
    assert convert(tmp_path / "b.ome.tif", tmp_path / "two", *SMALL) == 0
    xml = frozenset({"zarr.json", "OME/METADATA.ome.xml"})
    assert same_but_for_the_key(dataset, tmp_path / "two/b.ome.zarr", but=xml)


def test_what_is_lost_is_said_and_taken_when_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, _ = source_of(tmp_path, "stack")
    assert convert(source, tmp_path, "--tile-size", "64", "--min-dimension", "32") == 0
    assert restore(tmp_path / "a.ome.zarr", tmp_path / "b.ome.tif") == 1
    assert "lacks full resolution: its level 0 is 2 times smaller (INITIAL_DOWNSAMPLE); --lossy" in capsys.readouterr().err
    assert restore(tmp_path / "a.ome.zarr", tmp_path / "b.ome.tif", "--lossy") == 0
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tiff:
        assert np.array_equal(tiff.series[0].asarray(), levels(tmp_path / "a.ome.zarr")[0])
        assert 'PhysicalSizeX="0.65"' in tiff.pages[0].description


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose chunks Blosc compresses, so that it sees damage."""
    folder = tmp_path_factory.mktemp("smooth")
    pixels = np.add.outer(np.arange(12), np.add.outer(np.arange(150), np.arange(131))).astype("uint16")
    metadata = {"axes": "TZCYX"}
    tifffile.imwrite(folder / "a.ome.tif", pixels.reshape(2, 3, 2, 150, 131), ome=True, metadata=metadata, photometric="minisblack")
    assert convert(folder / "a.ome.tif", folder, *SMALL) == 0
    return folder / "a.ome.zarr"


@pytest.mark.parametrize("wrong", ["damaged", "missing", "there", "plate", "full"])
def test_what_goes_wrong_is_one_line_and_leaves_no_file(
    tmp_path: Path, smooth: Path, wrong: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong == "plate":
        write_plate(tmp_path / "a.ome.tif", [(0, 0, 1)])
        assert convert(tmp_path / "a.ome.tif", tmp_path, *SMALL) == 0
    else:
        shutil.copytree(smooth, tmp_path / "a.ome.zarr")
    dataset, back = tmp_path / "a.ome.zarr", tmp_path / "back/b.ome.tif"
    back.parent.mkdir()
    chunk = dataset / "0/c/1/1/2/1/1"
    status, said = 1, ""
    if wrong == "damaged":
        chunk.write_bytes(chunk.read_bytes()[:16] + bytes(chunk.stat().st_size - 16))
        said = "the chunk at t 1, c 1, z 2, y 64, x 64 cannot be decoded"
    elif wrong == "missing":
        chunk.unlink()
        said = "is not whole or not right"
    elif wrong == "there":
        back.write_text("mine")
        status, said = 73, "is there already, and is not replaced"
    elif wrong == "plate":
        said = "name one of its images, as "
    else:
        monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        status, said = 73, "No space left"
    assert restore(dataset, back) == status
    assert said in capsys.readouterr().err
    assert [path.name for path in back.parent.iterdir()] == (["b.ome.tif"] if wrong == "there" else [])
    if wrong == "plate":
        assert restore(dataset / "A/1/0", back) == 0
