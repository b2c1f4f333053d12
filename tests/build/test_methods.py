"""Every DOWNSAMPLE_METHOD through the whole program: its levels, what the metadata call it, and `validate --deep`."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conversion import levels
from methods import ORACLES, reduced
from runs import ROOT

from omezarr_proc import cli

# Tiles and strips that straddle boxes of 32 x 32, and planes of a volume whose boxes are deep.
FILES: dict[str, tuple[tuple[int, ...], str, dict[str, object]]] = {
    "tiles-48": ((700, 900), "uint16", {"tile": (48, 80), "compression": "zlib"}),
    "tiles-144": ((500, 460, 3), "uint8", {"tile": (144, 144), "compression": "lzw", "photometric": "rgb"}),
    "strips-7": ((301, 407), "int16", {"rowsperstrip": 7, "compression": "zlib"}),
    "float": ((289, 333), "float32", {"tile": (80, 80)}),
    "volume": ((70, 161, 172), "uint16", {"rowsperstrip": 161, "compression": "lzw"}),
}


def pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(8)
    if dtype == "float32":
        found = rng.choice(np.array([0.5, 1.5, 2.5, np.nan], dtype), shape)
        found[:64, :64] = np.nan
        return found
    most = np.iinfo(dtype).max
    return np.where(rng.random(shape) < 0.6, rng.choice(np.array([0, 1, 5, most], dtype), shape), rng.integers(0, most, shape, dtype))


@pytest.mark.parametrize("method", ORACLES)
def test_a_method_makes_every_level_and_is_named_and_valid(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    sources = {}
    for name, (shape, dtype, options) in FILES.items():
        sources[name] = pixels(shape, dtype)
        sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
        axes = {"tiles-144": "YXS", "volume": "ZYX"}.get(name, "YX")
        options = {"photometric": "minisblack", "metadata": {"axes": axes, **sizes}, **options}
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", sources[name], ome=True, **options)
    flags = ("--initial-downsample", "32", "--tile-size", "64", "--min-dimension", "4", "--downsample-method", method)
    assert cli.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out"), "--quiet", *flags]) == 0
    datasets = {name: tmp_path / "out" / f"{name}.ome.zarr" for name in FILES}
    for name, dataset in datasets.items():
        source = np.moveaxis(sources[name], 2, 0) if name == "tiles-144" else sources[name]
        box = (32,) * (3 if name == "volume" else 2)
        for level in levels(dataset):
            wanted = reduced(source, box, method)
            found = level.reshape(wanted.shape)
            if wanted.dtype.kind == "f" and method == "mean":
                np.testing.assert_allclose(found, wanted, rtol=1e-6)
            else:
                np.testing.assert_array_equal(found, wanted)
            source, box = found, (2,) * len(box)
        attributes = json.loads((dataset / "zarr.json").read_text())["attributes"]
        for multiscale in (attributes["ome"]["multiscales"][0], attributes["multiscales"][0]):
            assert multiscale["type"] == method
            assert f" {method} of full resolution" in multiscale["metadata"]["description"]
    capsys.readouterr()
    assert cli.main(["validate", "--deep", "--json", *map(str, datasets.values())]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("method", ORACLES)
def test_validate_sees_pixels_that_the_method_does_not_make(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The dataset of another method that calls itself this one."""
    other = "mean" if method != "mean" else "max"
    tifffile.imwrite(tmp_path / "a.tif", pixels((300, 280), "uint16"))
    flags = ("--initial-downsample", "1", "--tile-size", "64", "--min-dimension", "80", "--downsample-method", other)
    assert cli.main([str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", *flags]) == 0
    root = tmp_path / "a.ome.zarr" / "zarr.json"
    root.write_text(root.read_text().replace(f'"type": "{other}"', f'"type": "{method}"'))
    assert cli.main(["validate", "--deep", str(tmp_path / "a.ome.zarr")]) == 1
    assert f"the {method} of level 0 is" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["README.md", "docs/output.md"])
def test_the_pages_name_every_method(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [method for method in ORACLES if f"`{method}`" not in text] == []
