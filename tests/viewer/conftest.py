"""The page of the viewer in a browser, and the datasets that it shows there."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from numcodecs import LZ4, Blosc, GZip, Zlib, Zstd
from pagedata import cells, volume, write, write_labels

from omezarr_proc import cli
from omezarr_proc.viewer.serving import ViewerServer

if TYPE_CHECKING:
    from browsing import Page

SAMPLES = Path(__file__).parents[2] / "data" / "input"
WIDTHS = {"laptop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, converted, and what they are not."""
    folder = tmp_path_factory.mktemp("output")
    assert cli.main(["--input-dir", str(SAMPLES), "--output-dir", str(folder), "--initial-downsample", "1", "--quiet"]) == 0
    y, x = np.mgrid[:150, :200]
    ramp = np.stack([x, y, (x * y) % 251]).astype(np.uint16)
    write(folder, "v2.ome.zarr", ramp, "cyx", [(0, 200), (0, 150), (0, 250)], zarr_format=2)
    write(folder, "tiny.ome.zarr", (ramp[:1] * 1e-7).astype(np.float32), "cyx", [(0, 2e-5)])
    write(folder, "negative.ome.zarr", (ramp[:2].astype(np.int16) - 100), "cyx", [(-100, 100), (-100, 50)])
    write(folder, "many.ome.zarr", np.stack([ramp[0] + i for i in range(18)]), "cyx", [(i, 200 + i) for i in range(18)])
    write(folder, "time.ome.zarr", np.stack([(ramp[:2, None] + 40 * t) % 200 for t in range(3)]), "tczyx", [(0, 200), (0, 200)])
    write(folder, "uneven.ome.zarr", ramp[:, :149, :199], "cyx", [(0, 200), (0, 150), (0, 250)])
    large = ramp.repeat(3, axis=1).repeat(3, axis=2)
    write(folder, "high.ome.zarr", large, "cyx", [(0, 200), (0, 150), (0, 250)], sizes=[(1.25, "micrometer"), (500.0, "nanometer")])
    write(folder, "low.ome.zarr", large, "cyx", [(0, 200), (0, 150), (0, 250)], sizes=[(0.4, "micrometer"), (1.0, "micrometer")])
    _write_volume(folder)
    _write_codecs(folder, ramp)
    write(folder, "masks.ome.zarr", ramp, "cyx", [(0, 200), (0, 150), (0, 250)])
    write_labels(folder / "masks.ome.zarr", "cells", cells())
    write(folder, "damaged.ome.zarr", ramp[:1], "cyx", [(0, 200)])
    (folder / "damaged.ome.zarr" / "0" / "zarr.json").unlink()
    write(folder, "wide.ome.zarr", ramp[:1].astype(np.complex64), "cyx", [(0, 200)])
    return folder


def _write_volume(folder: Path) -> None:
    windows = [(0.0, 200.0), (0.0, 230.0)]
    pixels = volume()
    sizes = [(2.0, "micrometer"), (0.5, "micrometer"), (0.5, "micrometer")]
    write(folder, "volume.ome.zarr", pixels, "czyx", windows, sizes=sizes, depth=16)
    # what the sections of it have to look like, as datasets of their own
    write(folder, "volume-max.ome.zarr", pixels.max(axis=1), "cyx", windows, sizes=sizes[1:])
    write(folder, "volume-xz.ome.zarr", pixels[:, :, 65], "cyx", windows, sizes=[sizes[0], sizes[2]])
    write(folder, "volume-yz.ome.zarr", pixels[..., 75], "cyx", windows, sizes=[sizes[0], sizes[1]])


def _write_codecs(folder: Path, ramp: np.ndarray) -> None:
    windows = [(0.0, 200.0), (0.0, 150.0), (0.0, 250.0)]
    codecs = zarr.codecs
    for name, codec in {
        "none": None,
        "zstd": codecs.ZstdCodec(),
        "zstd-checked": [codecs.ZstdCodec(checksum=True), codecs.Crc32cCodec()],
        "gzip": codecs.GzipCodec(),
        **{f"blosc-{cname}": codecs.BloscCodec(cname=cname) for cname in ("lz4", "lz4hc", "blosclz", "zlib")},
        "blosc-bits": codecs.BloscCodec(shuffle="bitshuffle"),
    }.items():
        write(folder, f"codecs/{name}.ome.zarr", ramp, "cyx", windows, codec=codec, version="0.5")
    for name, codec in {
        "none": None,
        "zstd": Zstd(),
        "gzip": GZip(),
        "zlib": Zlib(),
        "lz4": LZ4(),
        "blosc": Blosc("lz4", shuffle=2),
    }.items():
        write(folder, f"codecs/v2-{name}.ome.zarr", ramp, "cyx", windows, 2, codec=codec)
    write(folder, "codecs/sharded.ome.zarr", ramp, "cyx", windows, shards=(1, 128, 128))
    write(folder, "codecs/big-endian.ome.zarr", ramp.astype(">u2"), "cyx", windows, 2)
    for version in ("0.1", "0.2", "0.3"):
        write(folder, f"codecs/ngff-{version}.ome.zarr", ramp[None, :, None], "tczyx", windows, 2, version=version)
    write(folder, "codecs/ngff-0.6.ome.zarr", ramp, "cyx", windows, version="0.6.dev2")
    for dtype in ("float64", "int64", "float16", "int8"):
        write(folder, f"codecs/{dtype}.ome.zarr", (ramp % 100).astype(dtype), "cyx", [(0.0, 100.0)] * 3)


@pytest.fixture(scope="session")
def address(output: Path) -> Iterator[str]:
    with ViewerServer(output) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def browser(width: int, height: int) -> "Page":
    from browsing import Page  # needs selenium

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs) and not os.environ.get("BROWSER_TESTS"):
        pytest.skip("chromium and chromedriver are not installed")
    assert programs[0] and programs[1], "chromium and chromedriver must be installed"
    return Page(programs[0], programs[1], width, height)


@pytest.fixture(scope="session", params=WIDTHS)
def any_page(request: pytest.FixtureRequest) -> Iterator["Page"]:
    page = browser(*WIDTHS[request.param])
    yield page
    page.quit()


@pytest.fixture
def page(any_page: "Page", request: pytest.FixtureRequest) -> Iterator["Page"]:
    """A window in which nothing may go wrong."""
    yield any_page
    if folder := os.environ.get("SCREENSHOTS"):
        any_page.driver.save_screenshot(str(Path(folder) / f"{request.node.name}.png"))
    assert any_page.console() == []


@pytest.fixture
def laptop(page: "Page") -> "Page":
    if page.width != 1280:
        pytest.skip("does not depend on the width")
    return page
