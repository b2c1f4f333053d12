"""The windows that viewers show first, of whole conversions, against numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from conversion import convert

from omezarr_proc import cli
from omezarr_proc.build import windows as module
from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.tiff.describe.images import open_images


def windows(tmp_path: Path, pixels: Any, **options: Any) -> list[dict[str, float]]:
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, **options)
    assert convert(tmp_path / "a.tif", tmp_path / "out", "--initial-downsample", "1") == 0
    dataset = tmp_path / "out/a.ome.zarr"
    assert cli.main(["validate", "--deep", str(dataset)]) == 0
    return [channel["window"] for channel in zarr.open_group(dataset, mode="r").attrs["ome"]["omero"]["channels"]]


def expected(pixels: Any) -> dict[str, float]:
    start, end = np.percentile(pixels, (0.1, 99.9), method="inverted_cdf")
    return {"min": float(pixels.min()), "max": float(pixels.max()), "start": float(start), "end": float(end)}


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("samples", [3, 4])
def test_red_green_and_blue_share_a_window(tmp_path: Path, dtype: str, samples: int) -> None:
    y, x = np.mgrid[:100, :121]
    pixels = np.stack([x * 300 + y, y * 0, y * 11 + 40, x + 7][:samples], -1).astype(dtype)  # a green that is 0 everywhere
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"] if samples == 4 else []}
    found = windows(tmp_path, pixels, **options)
    assert found[:3] == [expected(pixels[..., :3])] * 3
    assert found[3:] == [expected(pixels[..., channel]) for channel in range(3, samples)]  # transparency


def test_channels_that_are_no_colours_have_their_own(tmp_path: Path) -> None:
    pixels = np.stack([np.arange(6400).reshape(80, 80) * factor for factor in (1, 3, 9)]).astype("uint16")
    assert windows(tmp_path, pixels, photometric="minisblack", planarconfig="separate") == [expected(plane) for plane in pixels]


def test_what_is_counted_while_it_is_written_is_what_is_counted_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels that share a window too, bands of several chunks, edges; and where only a part was counted, all is counted anew."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 50000, (3, 300, 201)).astype("uint16")
    pixels[0] //= 7
    found, counted = [], []
    for at_once, lost in ((1 << 20, False), (0, False), (1 << 20, True)):
        monkeypatch.setattr(module, "_AT_ONCE_PIXELS", at_once)
        real = module.display_windows

        def partly(engine: Any, image: Any, pyramid: Any, extremes: Any, counts: Any, real: Any = real, lost: bool = lost) -> Any:
            counted.append(sum(int(packed.counts.sum()) for packed in counts.values()))
            return real(engine, image, pyramid, extremes, dict(list(counts.items())[1:]) if lost else counts)

        with monkeypatch.context() as patch:
            patch.setattr("omezarr_proc.build.image.display_windows", partly)
            folder = tmp_path / f"{at_once} {lost}"
            folder.mkdir()
            found.append(windows(folder, pixels, photometric="minisblack", planarconfig="separate"))
    assert counted == [pixels.size, 0, pixels.size]
    assert found == [[expected(plane) for plane in pixels]] * 3


def test_a_worker_that_makes_all_counts_planes_that_are_sampled_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process counts levels of any size while it writes them, but only where all planes count: else windows would be others."""
    monkeypatch.setattr("omezarr_proc.ngff.windows.SAMPLED_PIXELS", 4 * 64 * 64)
    rng = np.random.default_rng(1)
    few, many = (rng.integers(0, 60000, (planes, 64, 64), np.uint16) for planes in (4, 12))
    for name, pixels in (("few", few), ("many", many)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.ome.tif", pixels, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    images = {name: open_images(str(tmp_path / name / "a.ome.tif"))[0] for name in ("few", "many")}
    pyramids = {name: pyramid_of(image, Settings(initial_downsample=1, z_downsample="none")) for name, image in images.items()}
    levels = {name: module.level_counted_at_once(images[name], pyramids[name], travels=False) for name in images}
    assert levels == {"few": 0, "many": None}
