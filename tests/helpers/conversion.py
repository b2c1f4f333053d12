"""Conversions in this process, and the arrays they make."""

import hashlib
from pathlib import Path

import numpy as np
import tensorstore as ts
import zarr

from omezarr_proc import cli


def convert(source: Path, target: Path, *flags: str) -> int:
    return cli.main([str(source), "--output-dir", str(target), "--quiet", *flags])


def levels(dataset: Path) -> list[np.ndarray]:
    """All levels, read by tensorstore."""
    group = zarr.open_group(dataset, mode="r")
    paths = [d["path"] for d in group.attrs["ome"]["multiscales"][0]["datasets"]]
    kv = [{"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{dataset / path}/"}} for path in paths]
    return [np.asarray(ts.open(spec).result().read().result()) for spec in kv]


def digest(dataset: Path) -> dict[str, str]:
    files = (path for path in dataset.rglob("*") if path.is_file())
    return {str(path.relative_to(dataset)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def random_pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(4)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
