"""Indexes of shards, against zarr's: ours are read by it, its by us, and every kind of damage is told."""

import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.shard import damage, index_bytes, make_index, place_of, read_index

PIXELS = np.random.default_rng(2).integers(0, 1 << 16, (130, 200), "uint16")
PIXELS[:, :70] = 9


def by_zarr(folder: Path) -> zarr.Array[Any]:
    array = zarr.create_array(
        folder, shape=PIXELS.shape, chunks=(64, 64), shards=(192, 256), dtype="uint16", compressors=BloscCodec(cname="zstd")
    )
    array[...] = PIXELS
    return array


def test_the_index_is_where_zarr_has_it(tmp_path: Path) -> None:
    by_zarr(tmp_path)
    shard = (tmp_path / "c/0/0").read_bytes()
    index = read_index(shard[-index_bytes(12) :], (3, 4))
    assert damage(index, (3, 4), len(shard) - index_bytes(12), packed=False) == ""
    for y, x in np.ndindex(3, 4):
        place = place_of(index, (y, x))
        assert place is not None
        out = np.empty((64, 64), "uint16")
        codec_for("uint16", "zstd", 5).decode(shard[place[0] : sum(place)], out)
        part = PIXELS[y * 64 :, x * 64 :][:64, :64]
        np.testing.assert_array_equal(out[: part.shape[0], : part.shape[1]], part)


def test_others_read_what_is_put_together_here(tmp_path: Path) -> None:
    array = by_zarr(tmp_path)
    padded = np.zeros((192, 256), "uint16")
    padded[:130, :200] = PIXELS
    chunks = [padded[y : y + 64, x : x + 64].copy() for y in (0, 64, 128) for x in (0, 64, 128, 192)]
    encoded = [codec_for("uint16", "lz4", 1).encode(chunk) for chunk in chunks]
    assert any(len(piece) > 64 * 64 * 2 for piece in encoded), "noise is no smaller than its pixels"
    index = make_index((3, 4), (3, 4), list(map(len, encoded)))
    Folder(str(tmp_path)).put("c/0/0", [*map(memoryview, encoded), index])
    assert (tmp_path / "c/0/0").read_bytes() == b"".join(encoded) + index
    np.testing.assert_array_equal(array[...], PIXELS)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/"}}
    np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), PIXELS)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@given(shapes, st.data())
def test_what_is_written_is_read_and_has_nothing_wrong(grid: tuple[int, ...], data: st.DataObject) -> None:
    inside = tuple(data.draw(st.integers(1, n)) for n in grid)
    sizes = data.draw(st.lists(st.integers(1, 1 << 40), min_size=int(np.prod(inside)), max_size=int(np.prod(inside))))
    written = make_index(grid, inside, sizes)
    index = read_index(written, grid)
    assert len(written) == index_bytes(int(np.prod(grid)))
    assert damage(index, inside, sum(sizes), packed=True) == ""
    following = 0
    for place, size in zip(np.ndindex(inside), sizes, strict=True):
        assert place_of(index, place) == (following, size)
        following += size
    assert sum(place_of(index, place) is None for place in np.ndindex(grid)) == np.prod(grid) - np.prod(inside)


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 100])
def test_an_object_that_was_cut_off_has_no_index(cut: int) -> None:
    shard = b"x" * 300 + make_index((2, 2), (2, 2), [50, 100, 100, 50])
    torn = shard[: len(shard) - cut][-index_bytes(4) :]
    if not cut:
        assert read_index(torn, (2, 2)).tolist() == [[[0, 50], [50, 100]], [[150, 100], [250, 50]]]
        return
    with pytest.raises(ValueError, match="index of the shard is damaged"):
        read_index(torn, (2, 2))


EMPTY = 2**64 - 1


@pytest.mark.parametrize(
    ("entries", "always", "packed"),
    [
        ([(0, 50), (50, 50), (EMPTY, EMPTY), (EMPTY, EMPTY)], "", ""),
        ([(0, 50), (50, 50), (0, 50), (EMPTY, EMPTY)], "outside the array", "outside the array"),
        ([(0, 50), (50, 51), (EMPTY, EMPTY), (EMPTY, EMPTY)], "beyond its end", "beyond its end"),
        ([(EMPTY - 9, 50), (0, 50), (EMPTY, EMPTY), (EMPTY, EMPTY)], "beyond its end", "beyond its end"),
        ([(0, 51), (50, 50), (EMPTY, EMPTY), (EMPTY, EMPTY)], "overlap", "overlap"),
        ([(50, 50), (0, 50), (EMPTY, EMPTY), (EMPTY, EMPTY)], "", "in C order"),
        ([(0, 40), (50, 50), (EMPTY, EMPTY), (EMPTY, EMPTY)], "", "in C order"),
        ([(0, 100), (EMPTY, EMPTY), (EMPTY, EMPTY), (EMPTY, EMPTY)], "", "lacks 1 of 2"),
    ],
)
def test_damage_is_told(entries: list[tuple[int, int]], always: str, packed: str) -> None:
    """Of a shard of 2 x 2 chunks, the upper two inside the array, with 100 bytes before its index."""
    data = struct.pack("<8Q", *(number for entry in entries for number in entry))
    index = read_index(data + google_crc32c.value(data).to_bytes(4, "little"), (2, 2))
    for strict, expected in ((False, always), (True, packed)):
        found = damage(index, (1, 2), 100, packed=strict)
        assert expected in found if expected else found == ""


def test_a_folder_takes_more_pieces_than_the_system_does_at_once(tmp_path: Path) -> None:
    pieces = [bytes([n % 251]) * (n % 5) for n in range(2500)]
    Folder(str(tmp_path)).put("a", pieces)
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
    Folder(str(tmp_path)).put("a", [b"short"])
    assert (tmp_path / "a").read_bytes() == b"short"
