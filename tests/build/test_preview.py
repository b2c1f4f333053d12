"""The picture beside a dataset: composed again by hand from what zarr and tifffile read, and decoded by imagecodecs."""

import json
import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from datasets import change, copied, pixels

from omezarr_proc import cli
from omezarr_proc.build.picture import compose
from omezarr_proc.build.preview import preview_path, write_preview
from omezarr_proc.model.errors import InputError
from omezarr_proc.pixels.resample import resampled
from omezarr_proc.store.read import open_dataset


def picture(dataset: Path) -> np.ndarray:
    write_preview(preview_path(dataset), dataset)
    return np.asarray(imagecodecs.png_decode(preview_path(dataset).read_bytes()))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_rgb_is_shown_as_it_is_stored(tmp_path: Path, zarr_format: int) -> None:
    dataset = copied(tmp_path, "rgb", zarr_format, "--initial-downsample", "1")
    np.testing.assert_array_equal(picture(dataset), pixels("rgb"))
    assert preview_path(dataset).name == "a.ome.zarr.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.ome.zarr.png"]


@pytest.mark.parametrize("name", ["stack", "time", "float"])
def test_channels_add_up_in_their_windows_and_colours(tmp_path: Path, name: str) -> None:
    dataset = copied(tmp_path, name, 3)
    omero = json.loads((dataset / "zarr.json").read_text())["attributes"]["omero"]
    level = zarr.open_array(dataset / "0", mode="r")[...]
    planes = {"stack": level[:, 1] if name == "stack" else None, "time": level[0, :, 1] if name == "time" else None, "float": level}[name]
    assert planes is not None
    expected = np.zeros((*level.shape[-2:], 3))
    for plane, channel in zip(planes, omero["channels"], strict=True):
        start, end = channel["window"]["start"], channel["window"]["end"]
        color = [int(channel["color"][i : i + 2], 16) / 255 for i in (0, 2, 4)]
        expected += (np.minimum(np.maximum((plane - float(start)) / (end - start), 0), 1))[..., np.newaxis] * color
    np.testing.assert_array_equal(picture(dataset), np.round(np.minimum(expected, 1) * 255).astype("uint8"))


def test_hidden_and_inverted_channels(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "stack", 2)

    def edit(found: dict) -> None:
        first, second = found["omero"]["channels"]
        first.update(active=False)
        second.update(inverted=True, color="00FF00", window={"min": 0, "max": 65535, "start": 0, "end": 65535})

    change(dataset / ".zattrs", edit)
    shown = picture(dataset)
    level = zarr.open_array(dataset / "0", mode="r")[1, 1]
    np.testing.assert_array_equal(shown[:, :, 1], np.round(255 * (1 - level / 65535)).astype("uint8"))
    assert not shown[:, :, [0, 2]].any()


@pytest.mark.parametrize(
    ("shape", "flags", "expected"),
    [
        ((2100, 700), (), (525, 175)),
        ((2100, 700), ("--max-levels", "1"), (525, 175)),  # every 4th pixel
        ((300, 511), (), (300, 511)),
        ((1023, 30), (), (512, 15)),
        ((1022, 30), (), (1022, 30)),
    ],
)
def test_of_some_512_pixels_whatever_levels_there_are(
    tmp_path: Path, shape: tuple[int, int], flags: tuple[str, ...], expected: tuple[int, int]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, "uint8"))
    run = [str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", "--initial-downsample", "1", "--preview", *flags]
    assert cli.main(run) == 0
    decoded = imagecodecs.png_decode((tmp_path / "a.ome.zarr.png").read_bytes())
    assert decoded.shape == (*expected, 3)
    assert not decoded.any()


def test_every_third_pixel_across_the_edges_of_chunks(tmp_path: Path) -> None:
    values = np.arange(1600 * 700, dtype="uint16").reshape(1600, 700) % 251
    tifffile.imwrite(tmp_path / "a.tif", values.astype("uint8"))
    run = [str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", "--initial-downsample", "1", "--max-levels", "1", "--preview"]
    assert cli.main(run) == 0
    omero = json.loads((tmp_path / "a.ome.zarr/zarr.json").read_text())["attributes"]["omero"]
    start, end = (omero["channels"][0]["window"][key] for key in ("start", "end"))
    expected = np.round(255 * np.clip((values[::3, ::3] - float(start)) / (end - start), 0, 1)).astype("uint8")
    decoded = imagecodecs.png_decode((tmp_path / "a.ome.zarr.png").read_bytes())
    np.testing.assert_array_equal(decoded, np.repeat(expected[..., np.newaxis], 3, axis=2))


def test_nan_and_infinity(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 100 * 100, dtype="float32").reshape(100, 100)
    values[0, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", "--initial-downsample", "1", "--preview", "1"]) == 0
    decoded = imagecodecs.png_decode((tmp_path / "a.ome.zarr.png").read_bytes())
    assert decoded[0, :3].tolist() == [[0] * 3, [255] * 3, [0] * 3]
    assert decoded[-1, -1].tolist() == [255] * 3


def test_made_for_a_finished_dataset_kept_in_step_and_no_part_of_the_key(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 100), "uint8"))
    dataset, png = tmp_path / "a.ome.zarr", tmp_path / "a.ome.zarr.png"
    run = [str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet"]
    assert cli.main(run) == 0
    assert not png.exists()
    inode = dataset.stat().st_ino
    assert cli.main(["--preview", *run]) == 0
    assert dataset.stat().st_ino == inode
    first = png.stat()
    assert cli.main([*run, "--preview"]) == 0
    assert png.stat().st_mtime_ns == first.st_mtime_ns
    assert cli.main([*run, "--initial-downsample", "1"]) == 0  # without asking: else it would show another dataset
    assert imagecodecs.png_decode(png.read_bytes()).shape == (100, 100, 3)
    assert first.st_mode == (tmp_path / "a.tif").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.ome.zarr.png", "a.tif"]


def test_what_cannot_be_shown_is_refused_in_words(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "rgb", 2)
    change(dataset / ".zattrs", lambda found: found.pop("omero"))
    with pytest.raises(InputError, match="no omero block"):
        compose(open_dataset(dataset))
    change(dataset / ".zattrs", lambda found: found.pop("multiscales"))
    with pytest.raises(InputError, match="no preview can be made"):
        write_preview(preview_path(dataset), dataset)


def test_a_damaged_or_absent_chunk_is_named_as_such(tmp_path: Path) -> None:
    dataset = copied(tmp_path, "stack", 3)
    chunk = dataset / "0/c/0/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(InputError, match=r"0/c/0/1/0/0: a chunk cannot be read: .*validate --deep"):
        compose(open_dataset(dataset))
    chunk.unlink()
    with pytest.raises(InputError, match=r"0/c/0/1/0/0: a chunk cannot be read: it is missing; .*validate --deep"):
        compose(open_dataset(dataset))


def test_an_absent_chunk_of_others_is_its_fill_value(tmp_path: Path) -> None:
    """As Zarr says; zarr itself leaves out chunks that are nothing else."""
    dataset = copied(tmp_path, "stack", 3)
    change(dataset / "zarr.json", lambda found: found["attributes"].pop("omezarr_proc"))
    zarr.open_array(dataset / "0", mode="r+", config={"write_empty_chunks": True})[0, 1] = 0
    expected = compose(open_dataset(dataset))
    stored = [path for path in (dataset / "0/c/0/1").rglob("*") if path.is_file()]
    for path in stored:
        path.unlink()
    assert stored
    np.testing.assert_array_equal(compose(open_dataset(dataset)), expected)


def test_a_preview_that_cannot_be_written_fails_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 100), "uint8"))
    (tmp_path / "a.ome.zarr.png").mkdir()
    os.utime(tmp_path / "a.ome.zarr.png", (0, 0))
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", "--preview"]) == 73
    assert "a.ome.zarr.png: cannot write the preview" in capsys.readouterr().err
    assert (tmp_path / "a.ome.zarr").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def stretched(folder: Path, *flags: str, size: tuple[float, float] = (2.0, 0.5), shape: tuple[int, int] = (100, 300)) -> Path:
    """A dataset whose pixels are `size[0]` µm high and `size[1]` wide."""
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    sizes = {"PhysicalSizeY": size[0], "PhysicalSizeX": size[1]}
    tifffile.imwrite(folder / "a.ome.tif", pixels, photometric="rgb", metadata={"axes": "YXS", **sizes})
    run = [str(folder / "a.ome.tif"), "--output-dir", str(folder), "--quiet", "--initial-downsample", "1"]
    assert cli.main([*run, *flags]) == 0
    return folder / "a.ome.zarr"


@pytest.mark.parametrize(
    ("size", "expected"), [((2.0, 0.5), (300, 225)), ((0.5, 2.0), (25, 300)), ((1.0, 1.0), (100, 300)), ((1.0, 1.005), (100, 300))]
)
def test_pixels_of_the_picture_are_square(tmp_path: Path, size: tuple[float, float], expected: tuple[int, int]) -> None:
    dataset = stretched(tmp_path, "--preview", size=size)
    decoded = imagecodecs.png_decode((tmp_path / "a.ome.zarr.png").read_bytes())
    assert decoded.shape == (*expected, 3)
    np.testing.assert_array_equal(decoded, resampled(compose(open_dataset(dataset)), *expected))


@pytest.mark.parametrize(("name", "begin"), [("p.png", b"\x89PNG"), ("p.JPG", b"\xff\xd8\xff")])
def test_the_verb_makes_it_in_any_size_and_by_its_ending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, begin: bytes
) -> None:
    dataset = stretched(tmp_path)
    assert cli.main(["preview", str(dataset), str(tmp_path / name), "--preview-size", "150"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / name}\n"
    encoded = (tmp_path / name).read_bytes()
    assert encoded.startswith(begin)
    decoded = imagecodecs.imread(encoded)
    assert decoded.shape == (150, 112, 3)
    exact = resampled(compose(open_dataset(dataset), 150), 150, 112)
    luma = np.array([0.299, 0.587, 0.114])  # JPEG halves the resolution of colours alone
    assert np.abs(decoded @ luma - exact @ luma).mean() <= (0 if name == "p.png" else 3)
    assert cli.main(["preview", str(dataset)]) == 0
    assert capsys.readouterr().out == f"{dataset}.png\n"
    assert imagecodecs.png_decode(Path(f"{dataset}.png").read_bytes()).shape == (300, 225, 3)


@pytest.mark.parametrize("words", [["a.ome.zarr", "p.gif"], ["a.ome.zarr", "--preview-size", "0"], []])
def test_wrong_use_of_the_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["preview", *words]) == 2
    assert "preview: error:" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["folders", "root"])
def test_the_thumbnail_is_the_middle_in_256_x_256_pixels(tmp_path: Path, layout: str) -> None:
    """300 rows of 1000 columns of pixels that are half as high as wide: the middle 300 x 150."""
    (tmp_path / "out").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (300, 1000, 3), dtype=np.uint8)
    sizes = {"PhysicalSizeY": 0.25, "PhysicalSizeX": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, photometric="rgb", metadata={"axes": "YXS", **sizes})
    flags = ["--output-dir", str(tmp_path / "out"), "--quiet", "--initial-downsample", "1", "--output-layout", layout]
    for _ in range(2):  # of a dataset that is there already, too
        assert cli.main([str(tmp_path / "a.ome.tif"), *flags, "--preview", "thumbnail"]) == 0
        thumbnail = imagecodecs.png_decode((tmp_path / "out/thumbnail.png").read_bytes())
        np.testing.assert_array_equal(thumbnail, resampled(pixels[:, 425:575], 256, 256))
        (tmp_path / "out/thumbnail.png").unlink()
    assert not list((tmp_path / "out").glob("*.zarr.png"))


def test_a_thumbnail_in_its_dataset_is_never_one_of_before(tmp_path: Path) -> None:
    flags = ["--output-dir", str(tmp_path / "out"), "--quiet", "--initial-downsample", "1", "--output-layout", "root"]
    made = {}
    for name, more in (("a", ["--preview", "thumbnail"]), ("b", [])):
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (256, 256, 3), dtype=np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb")
        assert cli.main([str(tmp_path / f"{name}.tif"), *flags, *more]) == 0
        made[name] = (tmp_path / "out/thumbnail.png").read_bytes()
        np.testing.assert_array_equal(imagecodecs.png_decode(made[name]), pixels)
    changed = (tmp_path / "out/thumbnail.png").stat().st_mtime_ns
    assert cli.main([str(tmp_path / "b.tif"), *flags]) == 0
    assert (tmp_path / "out/thumbnail.png").stat().st_mtime_ns == changed  # it is of this dataset
    (tmp_path / "out/thumbnail.png").unlink()
    assert cli.main([str(tmp_path / "a.tif"), *flags]) == 0
    assert not (tmp_path / "out/thumbnail.png").exists()


def test_several_datasets_have_no_thumbnail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((100, 100), "uint8"))
    out = tmp_path / "out"
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(out), "--preview=thumbnail", "--asset-properties", "--quiet"]) == 0
    expected = "no asset-properties.json and no thumbnail.png is written: it is of one dataset, and there are 2"
    assert expected in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["a.ome.zarr", "b.ome.zarr"]
