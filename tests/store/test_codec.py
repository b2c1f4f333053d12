"""Codec: what it encodes is what zarr-python reads and writes."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numcodecs.blosc
import numcodecs.blosc as blosc
import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec

from omezarr_proc.config.settings import COMPRESSORS
from omezarr_proc.store.codec import Codec, codec_for, without_threads

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def pixels(dtype: str, shape: tuple[int, ...] = (2, 64, 64)) -> np.ndarray[Any, Any]:
    """Values whose bytes all differ from plane to plane, so that a wrong order or shuffle shows."""
    return (np.arange(np.prod(shape)).reshape(shape) * 37 % 30011).astype(dtype)


@pytest.mark.parametrize("cname", COMPRESSORS)
@pytest.mark.parametrize("shuffle", ["noshuffle", "shuffle", "bitshuffle"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_reads_what_encode_wrote(tmp_path: Path, dtype: str, shuffle: Any, cname: str) -> None:
    data = pixels(dtype)
    codec = Codec(cname=cname, clevel=5, shuffle=shuffle, typesize=data.dtype.itemsize)
    array = zarr.create_array(tmp_path / "a", shape=data.shape, chunks=data.shape, dtype=dtype, compressors=BloscCodec(**asdict(codec)))
    chunk = tmp_path / "a" / "c" / "0" / "0" / "0"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(codec.encode(data))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], data)
    array[:] = data  # zarr writes the very same bytes from its own metadata
    assert chunk.read_bytes() == codec.encode(data)
    assert array.metadata.to_dict()["codecs"][1]["configuration"] == asdict(codec)  # type: ignore[index, call-overload]


@pytest.mark.parametrize("dtype", DTYPES)
def test_header_states_what_the_metadata_says(dtype: str) -> None:
    data = pixels(dtype)
    codec = Codec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=data.dtype.itemsize)
    encoded = codec.encode(data)
    assert numcodecs.blosc._cbuffer_metainfo(encoded)[:2] == (data.dtype.itemsize, numcodecs.blosc.BITSHUFFLE)
    assert numcodecs.blosc.cbuffer_complib(encoded) == "Zstd"
    out = np.zeros_like(data)
    codec.decode(encoded, out)
    np.testing.assert_array_equal(out, data)


def test_codec_for_takes_the_dtype() -> None:
    assert codec_for("uint16", "lz4", 3).typesize == 2
    assert codec_for(np.float32, "lz4", 3).typesize == 4


def test_encode_refuses_what_would_be_stored_wrong() -> None:
    codec = codec_for("uint16", "zstd", 5)
    data = pixels("uint16")
    for wrong in (data[:, :, ::2], data.T, data.astype(">u2"), data.astype("uint32")):
        with pytest.raises(ValueError, match="a chunk to encode must be contiguous"):
            codec.encode(wrong)


def test_decode_refuses_a_chunk_that_is_not_whole() -> None:
    codec = codec_for("uint16", "zstd", 5)
    data = pixels("uint16")
    encoded = codec.encode(data)
    for bad in (encoded[:7], encoded[:-1], encoded + b"\0"):
        with pytest.raises(ValueError, match="a stored chunk"):
            codec.decode(bad, np.zeros_like(data))
    with pytest.raises(ValueError, match="a stored chunk has"):
        codec.decode(encoded, np.zeros((3, 64, 64), "uint16"))
    with pytest.raises(ValueError, match="contiguous"):
        codec.decode(encoded, np.zeros((2, 64, 128), "uint16")[:, :, ::2])


def test_blosc_works_without_threads_and_leaves_the_switch_to_others(tmp_path: Path) -> None:
    # In a process of its own, since zarr's import sets the same switch. It forks the workers, which so have this encoder too.
    code = """
import sys, numcodecs.blosc as blosc
from omezarr_proc.cli import main
from omezarr_proc.store.codec import Codec
encode = Codec.encode
def watched(codec, chunk):
    assert blosc.use_threads is False
    return encode(codec, chunk)
Codec.encode = watched
status = main(["--quiet", "--preview", "--output-dir", sys.argv[2], sys.argv[1]])
print(status, blosc.use_threads)
"""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((80, 80), np.uint8))
    command = [sys.executable, "-c", code, tmp_path / "a.tif", tmp_path / "out"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, check=True)
    assert run.stdout == "0 None\n"


def test_the_last_of_several_puts_the_switch_back() -> None:
    before = blosc.use_threads
    first, second = without_threads(), without_threads()
    for step in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        step()
        assert blosc.use_threads is False
    second.__exit__(None, None, None)
    assert blosc.use_threads is before
