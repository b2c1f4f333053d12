"""The documents that make folders Zarr arrays and groups, held byte for byte against those that zarr-python writes."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from pyramids import picture, pyramid
from runs import ROOT
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec
from zarr.storage import LocalStore

from omezarr_proc.config.settings import COMPRESSORS
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.pyramid import make_pyramid
from omezarr_proc.model.shards import sharded
from omezarr_proc.store import arrays
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import SHUFFLES, Codec
from omezarr_proc.store.documents import array_documents, group_documents
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Data, InMemory

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "int64", "uint64")
AXES = (
    (("c", "y", "x"), picture(300, 401, c=3, samples=3)),
    (("c", "z", "y", "x"), picture(300, 401, z=5)),
    (("t", "c", "z", "y", "x"), picture(300, 401, t=2, c=4, z=3)),
)
ATTRIBUTES: dict[str, Any] = {
    "ome": {"version": "0.5", "multiscales": [{"name": 'Gr\u00fc\u00dfe \U0001f52c "a\\b"\n', "axes": [], "empty": {}}]},
    "floats": [0.0, 1.0, -0.0, 0.1, 1e-7, 1e300, 2.0**60, float("inf"), float("-inf"), float("nan")],
    "others": [True, None, 0, -(2**63), 2**64, "", (1, 2)],
}


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_is_described_as_zarr_describes_it(tmp_path: Path, dtype: str, zarr_format: Literal[2, 3]) -> None:
    shuffles = itertools.cycle(SHUFFLES)
    for number, ((axes, image), cname, bundled) in enumerate(itertools.product(AXES, COMPRESSORS, (False, True))):
        codec = Codec(cname=cname, clevel=1 + number % 9, shuffle=next(shuffles), typesize=np.dtype(dtype).itemsize)
        of = pyramid(image, least=64, tile=128, bundled=bundled, names=axes)
        store = ChunkStore(Folder(str(tmp_path)), dataclasses.replace(of, dtype=dtype), codec, zarr_format)
        sizes = {"t": image.size_t, "c": image.size_c, "z": image.size_z, "y": 150, "x": 201}
        chunk = {"c": image.size_c if bundled else 1, "y": 128, "x": 128}
        encoding: dict[str, Any] = {
            "serializer": BytesCodec(endian="little" if codec.typesize > 1 else None),
            "compressors": [BloscCodec(**dataclasses.asdict(codec))],
            "dimension_names": axes,
        }
        if zarr_format == 2:
            blosc = numcodecs.Blosc(cname, codec.clevel, SHUFFLES[codec.shuffle], codec.blocksize)
            encoding = {"compressors": blosc, "order": "C", "chunk_key_encoding": {"name": "v2", "separator": "/"}}
        zarr.create_array(
            LocalStore(str(tmp_path / str(number))),
            shape=tuple(sizes[axis] for axis in axes),
            chunks=tuple(chunk.get(axis, 1) for axis in axes),
            dtype=np.dtype(dtype),
            fill_value=0,
            zarr_format=zarr_format,
            **encoding,
        )
        assert array_documents(store, of.levels[1]) == written(tmp_path / str(number))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [1, 3])
def test_a_sharded_array_is_described_as_zarr_describes_it(tmp_path: Path, dtype: str, depth: int) -> None:
    """But that zarr leaves out `endian` where a pixel is one byte, which other readers want."""
    image = picture(900, 1301, z=5)
    names = ("c", "z", "y", "x")
    made = make_pyramid(image, downsample=1, tile=64, bundled=False, max_levels=0, min_dimension=64, names=names, z_chunk=depth)
    of = dataclasses.replace(sharded(made, image), dtype=dtype)
    codec = Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize)
    little = BytesCodec(endian="little")
    blosc = BloscCodec(**dataclasses.asdict(codec))
    for level in of.levels[:3]:
        side = 8 >> level.index
        shard = (1, depth, 64 * side, 64 * side)
        inner = ShardingCodec(chunk_shape=(1, depth, 64, 64), codecs=[little, blosc], index_codecs=[little, Crc32cCodec()])
        place = LocalStore(str(tmp_path / str(level.index)))
        shape = of.stored(level.shape)
        zarr.create_array(
            place, shape=shape, chunks=shard, dtype=dtype, fill_value=0, serializer=inner, compressors=None, dimension_names=names
        )
        expected = {name: json.loads(data) for name, data in written(tmp_path / str(level.index)).items()}
        found = {name: json.loads(data) for name, data in array_documents(ChunkStore(Folder(""), of, codec), level).items()}
        if codec.typesize == 1:
            assert '"endian"' not in json.dumps(expected["zarr.json"]["codecs"][0]["configuration"]["codecs"])
            expected["zarr.json"]["codecs"][0]["configuration"]["codecs"][0] |= {"configuration": {"endian": "little"}}
        assert found == expected


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_group_is_described_as_zarr_describes_it(tmp_path: Path, zarr_format: Literal[2, 3]) -> None:
    zarr.create_group(tmp_path, attributes=ATTRIBUTES, zarr_format=zarr_format)
    assert group_documents(ATTRIBUTES, zarr_format) == written(tmp_path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_staging_folder_that_has_vanished_does_not_come_back(tmp_path: Path, zarr_format: Literal[2, 3]) -> None:
    staging = tmp_path / "staging"
    of = pyramid(picture(300, 401, c=3, samples=3), least=64, tile=128, bundled=True, names="cyx")
    store = ChunkStore(Folder(str(staging)), of, Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=1), zarr_format)
    with pytest.raises(OutputError, match="No such file or directory"):
        arrays.write_metadata(store)
    with pytest.raises(OutputError, match="No such file or directory"):
        arrays.write_root(store.objects, {}, zarr_format)
    with pytest.raises(OutputError, match="No such file or directory"):
        arrays.put_all(store.objects, {arrays.OME_XML: b"<OME/>"})
    assert not staging.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    staging.symlink_to(elsewhere)
    with pytest.raises(OutputError, match="Not a directory"):
        arrays.write_root(store.objects, {}, zarr_format)
    assert not any(elsewhere.iterdir())


def test_a_conversion_does_without_zarr(tmp_path: Path) -> None:
    """Its event loop needs three threads, which a small pids limit denies after all the work."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((300, 300), np.uint8))
    code = "import sys; sys.modules['zarr'] = None; from omezarr_proc.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(tmp_path / "a.tif"), "--output-dir", str(tmp_path), "--quiet", "--preview"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (run.returncode, run.stderr) == (0, "")
    assert zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"].shape == (1, 150, 150)  # type: ignore[union-attr]


@pytest.mark.parametrize("before", [b"", b"ab", b"abcdef", b"abcdefgh, and more"])
def test_a_chunk_that_is_there_is_never_emptied(tmp_path: Path, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker given up in the middle of its `open` opens it late, after its replacement has written all of it."""
    path = tmp_path / "0"
    path.write_bytes(before)
    opened, sizes = os.open, []

    def watched(name: str, flags: int, mode: int) -> int:
        fd = opened(name, flags, mode)
        sizes.append(os.fstat(fd).st_size)
        return fd

    monkeypatch.setattr(os, "open", watched)
    Folder(str(tmp_path)).put("0", b"abcdef")
    monkeypatch.undo()
    assert (sizes, path.read_bytes()) == ([len(before)], b"abcdef")


def test_where_puts_do_not_wait_for_each_other_documents_are_put_at_the_same_time() -> None:
    gate = threading.Barrier(4)  # nobody gets through it alone

    class Apart(InMemory):
        apart = True

        def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
            assert atomic
            gate.wait(30)
            super().put(key, data)

    documents = {f"{number}/zarr.json": bytes([number]) for number in range(4)}
    objects = Apart()
    arrays.put_all(objects, documents)
    assert objects.objects == documents
