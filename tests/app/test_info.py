"""What is told of TIFFs, held against tifffile, and of datasets, held against zarr."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from datasets import IMAGES, change, copied, made

from omezarr_proc import __version__, cli

SAMPLES = Path(__file__).parents[2] / "data" / "input"


def told(capsys: pytest.CaptureFixture[str], *paths: Path, status: int = 0) -> list[dict[str, Any]]:
    assert cli.main(["info", "--json", *map(str, paths)]) == status
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["files"]
    return list(found["files"])


@pytest.mark.parametrize("name", ["brightfield", "fluorescence"])
def test_samples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = SAMPLES / f"{name}.ome.tiff"
    (entry,) = told(capsys, path)
    (image,) = entry["images"]
    with tifffile.TiffFile(path) as tiff:
        series, page = tiff.series[0], tiff.pages.first
        sizes = {axis.lower().replace("s", "c"): size for axis, size in zip(series.axes, series.shape, strict=True)}
        assert image["sizes"] == {"t": 1, "z": 1} | sizes
        assert image["dtype"] == str(series.dtype)
        assert image["layout"]["segment"] == [page.tilelength, page.tilewidth]
        assert image["layout"]["compression"] in page.compression.name.lower()
    assert (entry["path"], entry["kind"], entry["error"]) == (str(path), "tiff", None)
    assert image["pixel_size"]["x"]["unit"] == "micrometer"
    assert image["converted"] is True
    assert image["files"] == [str(path)]


@pytest.mark.parametrize(("options", "text"), [({"tile": (16, 64)}, "tiles of 16 x 64"), ({"rowsperstrip": 16}, "strips of 16 x 64")])
def test_a_tile_as_wide_as_the_image_is_a_tile(
    tmp_path: Path, options: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((48, 64), "uint8"), **options)
    (image,) = told(capsys, tmp_path / "a.tif")[0]["images"]
    assert image["layout"]["tiled"] is ("tile" in options)
    assert cli.main(["info", str(tmp_path / "a.tif")]) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("sub_ifds", [True, False])
def test_levels_inside_and_images_left_out(tmp_path: Path, sub_ifds: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.zeros((501, 700), "uint8")
    with tifffile.TiffWriter(path, ome=sub_ifds) as tiff:
        tiff.write(pixels, tile=(64, 64), subifds=2 if sub_ifds else None, compression="deflate")
        for step in (2, 4):
            tiff.write(pixels[::step, ::step], tile=(64, 64), subfiletype=1, metadata=None)
        if sub_ifds:
            tiff.write(pixels[:50, :30], metadata={"Name": "label"})
    images = told(capsys, path)[0]["images"]
    assert images[0]["levels"] == [[501, 700], [251, 350], [126, 175]]
    assert [image["converted"] for image in images] == ([True, False] if sub_ifds else [True])
    assert cli.main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "levels inside: 251 x 350, 126 x 175" in shown
    assert "y 501, x 700, c 1, uint8" in shown
    assert "tiles of 64 x 64, compression deflate" in shown
    assert ("left out unless IMAGES asks for it" in shown) == sub_ifds


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", IMAGES)
def test_datasets(name: str, zarr_format: int, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = made(name, zarr_format)
    (entry,) = told(capsys, dataset)
    group = zarr.open_group(dataset, mode="r")
    assert (entry["kind"], entry["zarr_format"], entry["error"]) == ("dataset", zarr_format, None)
    assert entry["ngff"] == (["0.5", "0.4"] if zarr_format == 3 else ["0.4"])
    assert [level["path"] for level in entry["levels"]] == [level["path"] for level in group.attrs["multiscales"][0]["datasets"]]
    for level in entry["levels"]:
        array = group[level["path"]]
        assert (tuple(level["shape"]), tuple(level["chunks"]), level["dtype"]) == (array.shape, array.chunks, str(array.dtype))
        assert level["bytes"] == array.nbytes
        assert level["compression"] == "blosc zstd level 5 bitshuffle"
        assert level["scale"][-2:] == [0.65 * 2 ** int(level["path"])] * 2
    files = [path for path in dataset.rglob("*") if path.is_file() and path.parent != dataset and path.parent.name != "OME"]
    assert entry["stored_bytes"] == sum(path.stat().st_size for path in files)
    assert entry["chunks"] == sum(1 for path in files if path.name.isdigit())
    assert [channel["window"] for channel in entry["channels"]] == [c["window"] for c in group.attrs["omero"]["channels"]]
    assert entry["made_by"] == f"omezarr_proc {__version__}"
    assert cli.main(["info", str(dataset)]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in (f"Zarr v{zarr_format}", "y micrometer", "blosc zstd", "channel 0: ", "made: omezarr_proc"))


def test_what_cannot_be_read_is_said_and_the_others_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.tif").write_bytes(b"II*\0garbage")
    (tmp_path / "folder").mkdir()
    broken, folder, absent, good = told(
        capsys, tmp_path / "no.tif", tmp_path / "folder", tmp_path / "absent", SAMPLES / "fluorescence.ome.tiff", status=1
    )
    assert "no.tif" in broken["error"]
    assert "zarr.json" in folder["error"]
    assert "absent" in absent["error"]
    assert good["images"]
    assert cli.main(["info", str(tmp_path / "no.tif"), str(SAMPLES / "fluorescence.ome.tiff")]) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "no.tif" in first
    assert "fluorescence" in second


def test_a_dataset_of_others_with_little_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = copied(tmp_path, "stack", 2)
    change(dataset / ".zattrs", lambda found: (found.pop("omero"), found.pop("omezarr_proc"), found["multiscales"][0].pop("metadata")))
    change(dataset / "1" / ".zarray", lambda found: found.update(compressor={"id": "zlib", "level": 3}))
    change(dataset / "0" / ".zarray", lambda found: found.update(compressor=None))
    (entry,) = told(capsys, dataset)
    assert entry["channels"] == []
    assert entry["made_by"] is None
    assert [level["compression"] for level in entry["levels"]] == ["none", "zlib level 3"]
    assert cli.main(["info", str(dataset)]) == 0
    assert "made: mean" in capsys.readouterr().out
