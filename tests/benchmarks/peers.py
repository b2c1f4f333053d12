"""Other programs on the same input, with the same levels, chunks and codec, each in the way its own documentation shows.

python -m tests.benchmarks.peers NAME INPUT OUTPUT: an RGB TIFF, from 2x downsampled.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

PEERS = {"tensorstore": "tensorstore", "ome-zarr-py": "ome_zarr", "ngff-zarr": "ngff_zarr"}
TILE = 256
BLOSC: dict[str, Any] = {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle", "typesize": 1, "blocksize": 0}


def installed(name: str) -> bool:
    """Whether this Python has the program."""
    return importlib.util.find_spec(PEERS[name]) is not None


def levels(height: int, width: int) -> int:
    """Halvings until both sides are at most a tile."""
    return max(0, (max(height, width) - 1).bit_length() - (TILE - 1).bit_length())


def with_tensorstore(source: Path, output: Path) -> None:
    """Virtual downsampled views, written chunk by chunk by its own threads."""
    import tensorstore as ts

    image = ts.array(np.moveaxis(tifffile.imread(source, maxworkers=2), 2, 0))
    _, height, width = image.shape
    for level in range(levels(height // 2, width // 2) + 1):
        view = ts.downsample(image, [1, 2, 2], "mean")
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{output}/{level}/"},
            "metadata": {
                "shape": view.shape, "data_type": "uint8",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, TILE, TILE]}},
                "codecs": [{"name": "bytes"}, {"name": "blosc", "configuration": BLOSC}],
            },
        }  # fmt: skip
        made = ts.open(spec, create=True).result()
        made.write(view).result()
        image = made


def _halved(source: Path) -> Any:
    import dask.array as da
    import zarr

    lazy: Any = da.from_zarr(zarr.open_array(tifffile.imread(source, aszarr=True, level=0), mode="r"))
    halved = da.coarsen(np.mean, lazy, {0: 2, 1: 2}).astype("uint8")
    return da.moveaxis(halved, 2, 0).rechunk((3, 1024, 1024))


def with_ome_zarr_py(source: Path, output: Path) -> None:
    """`write_image` of a dask array."""
    import zarr
    from ome_zarr.scale import Scaler
    from ome_zarr.writer import write_image
    from zarr.codecs import BloscCodec

    image = _halved(source)
    options = {"chunks": (3, TILE, TILE), "compressors": [BloscCodec(**BLOSC)]}
    group = zarr.open_group(str(output), mode="w")
    write_image(image, group, scaler=Scaler(max_layer=levels(*image.shape[1:])), axes="cyx", storage_options=options)


def with_ngff_zarr(source: Path, output: Path) -> None:
    """`to_multiscales` and `to_ngff_zarr`."""
    import ngff_zarr as nz
    from zarr.codecs import BloscCodec

    image = nz.to_ngff_image(_halved(source), dims=("c", "y", "x"))
    factors = [2**k for k in range(1, levels(*image.data.shape[1:]) + 1)]
    scales = nz.to_multiscales(image, scale_factors=factors, chunks={"c": 3, "y": TILE, "x": TILE}, method=nz.Methods.DASK_BIN_SHRINK)
    nz.to_ngff_zarr(str(output), scales, version="0.5", compressors=[BloscCodec(**BLOSC)])


if __name__ == "__main__":
    {"tensorstore": with_tensorstore, "ome-zarr-py": with_ome_zarr_py, "ngff-zarr": with_ngff_zarr}[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3])
    )
