"""Small datasets to look at and to break: converted once, copied for each test."""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from omezarr_proc import cli

IMAGES: dict[str, tuple[tuple[int, ...], str, str, dict[str, Any]]] = {
    "rgb": ((301, 403, 3), "uint8", "YXS", {"photometric": "rgb", "tile": (128, 128)}),
    "stack": ((3, 2, 150, 131), "uint16", "ZCYX", {"photometric": "minisblack"}),
    "time": ((2, 3, 2, 150, 140), "int8", "TZCYX", {"photometric": "minisblack"}),
    "float": ((260, 129), "float32", "YX", {"photometric": "minisblack"}),
}
_made = tempfile.mkdtemp(prefix="omezarr-proc-test-")
atexit.register(shutil.rmtree, _made, ignore_errors=True)


def pixels(name: str) -> np.ndarray:
    shape, dtype, _, _ = IMAGES[name]
    rng = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@functools.cache
def made(name: str, zarr_format: int = 3, *flags: str) -> Path:
    """A dataset that nobody may change."""
    _, _, axes, options = IMAGES[name]
    folder = Path(tempfile.mkdtemp(dir=_made))
    sizes = {"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.325, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(folder / "a.ome.tif", pixels(name), ome=True, metadata={"axes": axes, **sizes}, **options)
    standard = ("--tile-size", "64", "--min-dimension", "64", "--quiet", "--zarr-format", str(zarr_format))
    assert cli.main([str(folder / "a.ome.tif"), "--output-dir", str(folder), *standard, *flags]) == 0
    return folder / "a.ome.zarr"


def copied(tmp_path: Path, name: str, zarr_format: int = 3, *flags: str) -> Path:
    """The same to be changed."""
    return Path(shutil.copytree(made(name, zarr_format, *flags), tmp_path / "a.ome.zarr"))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
